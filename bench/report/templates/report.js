"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const faded = new Set();
  const variants = [...document.querySelectorAll(".legend button")];

  const role = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const slotColor = (slot) => (slot < 0 ? role("muted") : role(`c${slot}`));

  const axis = (given) => ({
    gridcolor: role("grid"), linecolor: role("line"), zeroline: false, showline: true, automargin: true,
    fixedrange: false, ...given, title: { ...given.title, font: { size: 12, color: role("muted") }, standoff: 8 },
  });

  const trace = (given) => {
    const color = slotColor(given.slot);
    const shown = { ...given, opacity: faded.has(given.slot) ? 0.12 : 1, textfont: { size: 12, color: role("ink") } };
    delete shown.slot;
    if (given.marker) {
      shown.marker = { ...given.marker, color, line: { ...given.marker.line, color: String(given.marker.symbol).endsWith("-open") ? color : role("paper") } };
    }
    if (given.line) shown.line = { ...given.line, color };
    for (const bar of ["error_x", "error_y"]) if (given[bar]) shown[bar] = { ...given[bar], color };
    return shown;
  };

  const layout = (given) => ({
    ...given,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "inherit", size: 12, color: role("ink") },
    margin: { l: 60, r: 20, t: 16, b: 50 },
    hovermode: "closest",
    hoverlabel: { bgcolor: role("panel"), bordercolor: role("line"), font: { color: role("ink") }, align: "left" },
    legend: { orientation: "h", y: -0.22, font: { color: role("ink") }, itemclick: false, itemdoubleclick: false },
    xaxis: axis(given.xaxis), yaxis: axis(given.yaxis),
    shapes: (given.shapes || []).map((shape) => shape.name === "band"
      ? { ...shape, fillcolor: role("band") }
      : { ...shape, line: { color: role("muted"), width: 1, dash: "dot" } }),
  });

  const draw = (place) => {
    const figure = figures[Number(place.dataset.figure)];
    Plotly.react(place, figure.data.map(trace), layout(figure.layout), { displayModeBar: false, responsive: true });
    place.dataset.drawn = "yes";
  };
  const places = [...document.querySelectorAll(".plot")];
  const redraw = () => places.filter((place) => place.dataset.drawn).forEach(draw);

  // A page of hundreds of figures draws those that are looked at.
  const watcher = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    watcher.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "600px" });
  places.forEach((place) => watcher.observe(place));
  addEventListener("beforeprint", () => places.forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  const slotOf = (button) => Number(/c(\d)/.exec(button.querySelector(".chip").className)[1]);
  variants.forEach((button) => button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    if (pressed) faded.delete(slotOf(button)); else faded.add(slotOf(button));
    redraw();
  }));

  const compare = (left, right) => {
    if (left === "" || right === "") return left === right ? 0 : left === "" ? 1 : -1;
    const numbers = [Number(left), Number(right)];
    return numbers.some(Number.isNaN) ? left.localeCompare(right) : numbers[0] - numbers[1];
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const [group, ...rows] = body.rows;
        const value = (row) => row.cells[column].dataset.v ?? "";
        rows.sort((a, b) => {
          const unknown = compare(value(a), value(b));
          return falling && value(a) !== "" && value(b) !== "" ? -unknown : unknown;
        });
        body.append(group, ...rows);
      }
    }));
  });
})();
