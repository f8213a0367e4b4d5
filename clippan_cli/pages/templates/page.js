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

  // the viewer: two pictures of one place, with a slider between them
  const build = () => {
    const places = [...crops.querySelectorAll(".crop")];
    if (!places.length) return;
    const picture = (place, label, colour) =>
      [...places[place].querySelectorAll("img")].find(
        (image) => image.dataset.label === label && image.classList.contains(colour),
      ) || [...places[place].querySelectorAll("img")].find((image) => image.dataset.label === label);
    const labels = [...new Set([...crops.querySelectorAll(".crop img")].map((image) => image.dataset.label))];
    const chooser = (text, options, chosen) => {
      const select = make("select");
      options.forEach((name, number) => select.append(make("option", { value: number, textContent: name })));
      select.selectedIndex = Math.max(0, chosen);
      return [make("label", {}, text, select), select];
    };
    const [placeLabel, place] = chooser("Place", places.map((one) => one.dataset.title), 0);
    const [leftLabel, left] = chooser("Left", labels, 1);
    const [rightLabel, right] = chooser("Right", labels, 2);
    const [zoomLabel, zoom] = chooser("Zoom", ["1:1", "2:1", "3:1", "4:1"], 2);
    const names = ["natural colours", ...(crops.querySelector("img.false") ? ["false colours"] : [])];
    const [colourLabel, colour] = chooser("Colours", names, 0);
    const under = make("img"), over = make("img");
    const swipe = make("div", { className: "swipe" }, under, over);
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50, step: 0.5 });
    slider.setAttribute("aria-label", "Where the left picture ends and the right one begins");
    const show = () => {
      const kind = colour.selectedIndex ? "false" : "natural";
      setColour(kind);
      for (const [image, choice] of [[under, left], [over, right]]) {
        const source = picture(place.selectedIndex, labels[choice.selectedIndex], kind);
        if (!source) continue;
        image.src = source.src;
        image.alt = source.alt;
        image.width = source.naturalWidth * (zoom.selectedIndex + 1);
        image.height = source.naturalHeight * (zoom.selectedIndex + 1);
      }
    };
    slider.addEventListener("input", () => swipe.style.setProperty("--at", `${slider.value}%`));
    swipe.addEventListener("pointermove", (event) => {
      if (event.buttons !== 1) return;
      slider.value = (100 * (event.clientX - swipe.getBoundingClientRect().left)) / swipe.clientWidth;
      swipe.style.setProperty("--at", `${slider.value}%`);
    });
    swipe.addEventListener("dragstart", (event) => event.preventDefault());
    [place, left, right, zoom, colour].forEach((select) => select.addEventListener("change", show));
    const controls = make("div", { className: "controls" }, placeLabel, leftLabel, rightLabel, zoomLabel, colourLabel);
    document.getElementById("viewer").append(controls, make("div", { className: "stage" }, swipe), slider);
    document.getElementById("viewer").hidden = false;
    show();
  };
  if (crops) window.addEventListener("load", build);

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
        const value = row.cells[column].dataset.value ?? row.cells[column].textContent;
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
