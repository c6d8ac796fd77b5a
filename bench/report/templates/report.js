"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);

  const role = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const colorOf = (trace) => role(trace.role ?? `c${trace.slot}`);

  const axis = (given) => ({
    gridcolor: role("grid"), linecolor: role("line"), zeroline: false, showline: true, automargin: true,
    fixedrange: false, ...given, title: { ...given.title, font: { size: 12, color: role("muted") }, standoff: 8 },
  });

  const trace = (given) => {
    const color = colorOf(given);
    const shown = { ...given };
    delete shown.slot;
    delete shown.role;
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
    legend: { orientation: "h", y: -0.22, font: { color: role("ink") }, itemclick: "toggle", itemdoubleclick: "toggleothers" },
    xaxis: axis(given.xaxis), yaxis: axis(given.yaxis),
    shapes: (given.shapes || []).map((shape) => shape.name === "band"
      ? { ...shape, fillcolor: role("band") }
      : { ...shape, line: { color: role("muted"), width: 1, dash: "dot" } }),
  });

  const pen = document.createElement("canvas").getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  // Weights by font, not by tags: plotly.js would write a style attribute, which the page's policy forbids.
  const fontOf = ({ rank }) => ({ size: rank ? 12 : 14, weight: rank ? 400 : 700, color: role(["good", "ink", "ink", "bad"][rank]) });
  const widthOf = (label) => {
    const { size, weight } = fontOf(label);
    pen.font = `${weight} ${size}px ${family}`;
    return pen.measureText(label.text.replace(/&[^;]*;/g, "x")).width + 6;
  };
  const overlap = (a, b) =>
    Math.max(0, Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0)) * Math.max(0, Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0));
  const box = (x, y, width, height) => ({ x0: x - width / 2, x1: x + width / 2, y0: y - height / 2, y1: y + height / 2 });
  const outside = (a, width, height) =>
    Math.max(0, -a.x0) + Math.max(0, a.x1 - width) + Math.max(0, -a.y0) + Math.max(0, a.y1 - height);
  const directions = [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [-1, -1], [1, 1], [-1, 1]];

  // Where a label hides least of other labels, markers and bars; far ones get a line to their marker.
  const spotsAround = (width, radius) => [3, 12, 24, 38, 54, 72].flatMap((gap) => directions.map(([right, down]) => {
    const sideways = right * (radius + gap * (down ? 0.7 : 1) + width / 2);
    return { dx: down ? sideways * (gap > 3 ? 1 : 0.8) : sideways, dy: down * (radius + gap * (down ? 1 : 0) + 7), gap };
  }));
  const label = (place, figure) => {
    const { xaxis, yaxis } = place._fullLayout;
    const marked = figure.data.filter((one) => one.marker).map((one, index) => {
      const [x, y] = [xaxis.d2p(one.x[0]), yaxis.d2p(one.y[0])];
      const reach = (axis, value, bar) => bar.array
        ? [axis.d2p(value + bar.array[0]), axis.d2p(value - bar.arrayminus[0])].sort((a, b) => a - b) : [axis.d2p(value), axis.d2p(value)];
      const [left, right] = reach(xaxis, one.x[0], one.error_x);
      const [top, bottom] = reach(yaxis, one.y[0], one.error_y);
      const bars = [{ x0: left, x1: right, y0: y - 1, y1: y + 1 }, { x0: x - 1, x1: x + 1, y0: top, y1: bottom }];
      return { ...figure.labels[index], one, x, y, bars, radius: one.marker.size / 2, body: box(x, y, one.marker.size, one.marker.size) };
    });
    const taken = [];
    return marked.slice().sort((a, b) => a.rank - b.rank).map((own) => {
      const width = widthOf(own);
      const tried = spotsAround(width, own.radius).map((spot) => {
        const area = box(own.x + spot.dx, own.y + spot.dy, width, 16);
        const hidden = taken.reduce((sum, other) => sum + 8 * overlap(area, other), 0)
          + marked.reduce((sum, other) => sum + 4 * overlap(area, other.body) + other.bars.reduce((all, bar) => all + 2 * overlap(area, bar), 0), 0);
        const crossed = spot.gap > 3 ? marked.filter((other) => other !== own && [0.2, 0.3, 0.4, 0.55, 0.7, 0.85].some((part) =>
          Math.hypot(own.x + part * spot.dx - other.x, own.y + part * spot.dy - other.y) < other.radius + 2)).length : 0;
        return { ...spot, area, cost: 150 * crossed + hidden + 60 * outside(area, xaxis._length, yaxis._length) + 2.5 * spot.gap };
      });
      const best = tried.reduce((a, b) => (b.cost < a.cost ? b : a));
      taken.push(best.area);
      return {
        x: xaxis.type === "log" ? Math.log10(own.one.x[0]) : own.one.x[0],
        y: yaxis.type === "log" ? Math.log10(own.one.y[0]) : own.one.y[0],
        text: own.text, showarrow: true, ax: best.dx, ay: best.dy, xanchor: "center", yanchor: "middle",
        arrowhead: 0, arrowwidth: best.gap > 3 ? 1 : 0.1, arrowcolor: best.gap > 3 ? role("muted") : "rgba(0,0,0,0)",
        standoff: own.radius, borderpad: 0, bgcolor: role("veil"), font: fontOf(own),
      };
    });
  };

  const draw = (place) => {
    const figure = figures[Number(place.dataset.figure)];
    const shown = layout(figure.layout);
    Plotly.react(place, figure.data.map(trace), shown, { displayModeBar: false, responsive: true });
    if (figure.labels) Plotly.relayout(place, { annotations: label(place, figure) });
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

  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 250);
  });

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
        const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
        const value = (row) => row.cells[column].dataset.v ?? "";
        rows.sort((a, b) => {
          const unknown = compare(value(a), value(b));
          return falling && value(a) !== "" && value(b) !== "" ? -unknown : unknown;
        });
        body.append(...rows);
      }
    }));
  });
})();
