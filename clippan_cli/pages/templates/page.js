"use strict";
(() => {
  const root = document.documentElement;
  const make = (name, props = {}, ...parts) => {
    const element = Object.assign(document.createElement(name), props);
    element.append(...parts);
    return element;
  };

  // light and dark
  const theme = document.getElementById("theme");
  if (theme) {
    theme.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
    });
  }

  // natural and false colour of all crops
  const crops = document.getElementById("crops");
  const setColour = (name) => {
    crops.classList.remove("colour-natural", "colour-false");
    crops.classList.add(`colour-${name}`);
  };

  // the viewer: two pictures of one place, under a slider, in turns, or subtracted
  const build = () => {
    const places = [...crops.querySelectorAll(".crop")];
    if (!places.length) return;
    const picture = (place, label, colour) => {
      const images = [...place.querySelectorAll("img")].filter((image) => image.dataset.label === label);
      return images.find((image) => image.classList.contains(colour)) || images[0];
    };
    const labels = [...new Set([...crops.querySelectorAll("img")].map((image) => image.dataset.label))];
    const chooser = (text, options, chosen) => {
      const select = make("select");
      options.forEach((name, number) => select.append(make("option", { value: number, textContent: name })));
      select.selectedIndex = Math.min(chosen, options.length - 1);
      return [make("label", {}, text, select), select];
    };
    const [placeLabel, place] = chooser("Place", places.map((one) => one.dataset.title), 0);
    const [leftLabel, left] = chooser("Left", labels, 1);
    const [rightLabel, right] = chooser("Right", labels, 2);
    const [zoomLabel, zoom] = chooser("Zoom", ["1:1", "2:1", "3:1", "4:1"], 2);
    const names = ["natural colours", ...(crops.querySelector("img.false") ? ["false colours"] : [])];
    const [colourLabel, colour] = chooser("Colours", names, 0);
    const under = make("img"), over = make("img");
    const swipe = make("div", { className: "swipe" }, make("div", { className: "layers" }, under, over));
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50, step: 0.5 });
    slider.setAttribute("aria-label", "Where the left picture ends and the right one begins");
    const shown = make("p", { className: "muted" });

    const modes = { slide: "Slider", blink: "Blink", difference: "Difference" };
    let mode = "slide", turn = 0;
    const buttons = Object.entries(modes).map(([name, text]) => {
      const button = make("button", { type: "button", textContent: text });
      button.dataset.mode = name;
      button.addEventListener("click", () => choose(name));
      return button;
    });
    const describe = () => {
      const [one, other] = [left, right].map((select) => labels[select.selectedIndex]);
      shown.textContent = {
        slide: `Left of the line ${one}, right of it ${other}.`,
        blink: `Shown now: ${swipe.classList.contains("right") ? other : one}.`,
        difference: `Difference between ${one} and ${other}, 4 times as bright; black where they agree.`,
      }[mode];
    };
    const choose = (name) => {
      mode = name;
      swipe.className = `swipe ${name}`;
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.mode === name)));
      slider.hidden = name !== "slide";
      clearInterval(turn);
      if (name === "blink") turn = setInterval(() => (swipe.classList.toggle("right"), describe()), 700);
      describe();
    };
    const show = () => {
      const kind = colour.selectedIndex ? "false" : "natural";
      setColour(kind);
      const chosen = places[place.selectedIndex];
      for (const [image, choice] of [[under, left], [over, right]]) {
        const source = picture(chosen, labels[choice.selectedIndex], kind);
        if (!source) continue;
        image.src = source.src;
        image.alt = source.alt;
        image.width = source.getAttribute("width") * (zoom.selectedIndex + 1);
        image.height = source.getAttribute("height") * (zoom.selectedIndex + 1);
      }
      swipe.querySelector(".scale-bar")?.remove();
      swipe.append(chosen.querySelector(".scale-bar").cloneNode(true));
      describe();
    };
    slider.addEventListener("input", () => swipe.style.setProperty("--at", `${slider.value}%`));
    swipe.addEventListener("pointermove", (event) => {
      if (event.buttons !== 1) return;
      slider.value = (100 * (event.clientX - swipe.getBoundingClientRect().left)) / swipe.clientWidth;
      swipe.style.setProperty("--at", `${slider.value}%`);
    });
    swipe.addEventListener("dragstart", (event) => event.preventDefault());
    [place, left, right, zoom, colour].forEach((select) => select.addEventListener("change", show));
    const kinds = make("div", { className: "modes" }, ...buttons);
    kinds.setAttribute("role", "group");
    kinds.setAttribute("aria-label", "How to compare");
    const controls = make("div", { className: "controls" }, kinds, placeLabel, leftLabel, rightLabel, zoomLabel, colourLabel);
    document.getElementById("viewer").append(controls, make("div", { className: "stage" }, swipe), slider, shown);
    document.getElementById("viewer").hidden = false;
    choose("slide");
    show();
  };
  if (crops) window.addEventListener("load", build);

  // what is wider than the page says so, and can be scrolled by keys
  const hint = () =>
    document.querySelectorAll(".wide, .grid").forEach((box) => {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      const said = box.previousElementSibling?.classList.contains("scroll-hint");
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
      if (scrolls && !said) box.before(make("p", { className: "scroll-hint", textContent: "Scroll sideways for more \u2192" }));
      if (!scrolls && said) box.previousElementSibling.remove();
    });
  window.addEventListener("load", hint);
  window.addEventListener("resize", hint);
  document.querySelectorAll("details").forEach((one) => one.addEventListener("toggle", hint));

  // printing shows all tables
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));

  // clicking a heading sorts its table
  document.querySelectorAll("th.sortable").forEach((heading) => {
    const sort = () => {
      const body = heading.closest("table").tBodies[0];
      const column = heading.cellIndex;
      const down = heading.getAttribute("aria-sort") === "ascending";
      heading.parentElement.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => {
        const value = row.cells[column]?.dataset.value ?? row.cells[column]?.textContent ?? "";
        return value === "" || Number.isNaN(Number(value)) ? value : Number(value);
      };
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const numbers = typeof x === "number" && typeof y === "number";
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return (numbers ? x - y : String(x).localeCompare(String(y))) * (down ? -1 : 1);
      };
      [...body.rows].sort(order).forEach((row) => body.append(row));
    };
    heading.tabIndex = 0;
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", (event) => (event.key === "Enter" ? sort() : undefined));
  });
})();
