// Makes a slider of each `.compare`: two pictures of the same place and size, the first over the second up to a line.
// Their alternative texts become the captions. Without this script the pictures stand side by side.
for (const box of document.querySelectorAll(".compare")) {
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 100, step: 0.1, value: 50 })
  const captions = [...box.querySelectorAll("img")].map((image) => {
    return Object.assign(document.createElement("span"), { textContent: image.alt })
  })
  const show = () => box.style.setProperty("--at", `${slider.value}%`)
  slider.setAttribute("aria-label", `Compare: ${captions.map((each) => each.textContent).join(", ")}`)
  slider.addEventListener("input", show)
  box.append(...captions, slider)
  box.classList.add("ready")
  show()
}
