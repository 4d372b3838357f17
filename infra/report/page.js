"use strict";
(async () => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const drawn = new Set();

  // Decision chains: rows of a table that open. Text goes in as text, never as HTML.
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const time = (ns) => {
    if (!ns) return "";
    const rest = ns.slice(-9).replace(/0+$/, "");
    return new Date(Number(ns.slice(0, -9)) * 1000).toISOString().slice(0, 19).replace("T", " ") + (rest ? "." + rest : "");
  };
  const chainRow = (button) => {
    const row = element("tr", "", "chain");
    const cell = element("td");
    cell.colSpan = button.closest("tr").cells.length;
    const list = element("ol");
    for (const [place, depth, role] of data.chains.of[button.dataset.chain] || []) {
      const [says, id, at, ns] = data.chains.links[place];
      const item = element("li");
      item.style.setProperty("--depth", depth);
      item.dataset.id = id;
      item.append(element("b", role), " ", element("span", says));
      const where = [time(ns) && time(ns) + " UTC", at, id].filter(Boolean).join(" · ");
      item.append(element("small", where));
      list.append(item);
    }
    cell.append(list);
    row.append(cell);
    return row;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-chain]");
    if (!button) return;
    const open = button.getAttribute("aria-expanded") === "true";
    const row = button.closest("tr");
    if (open) row.nextElementSibling.remove();
    else row.after(chainRow(button));
    button.setAttribute("aria-expanded", String(!open));
  });

  // Parts: tabs with the keys that tabs have.
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (tab, focus) => {
    for (const each of tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
    draw();
  };
  for (const [at, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab, false));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(tabs[(to + tabs.length) % tabs.length], true);
    });
  }

  // Charts.
  const inflated = async (text) => {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const coloured = (value, key, style) => {
    if (typeof value === "string") return value[0] === "@" && /color/i.test(key) ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
    if (Array.isArray(value)) return /color/i.test(key) ? value.map((each) => coloured(each, key, style)) : value.map((each) => (typeof each === "object" ? coloured(each, "", style) : each));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, coloured(each, name, style)]));
    return value;
  };
  const scales = {};
  const touch = matchMedia("(pointer: coarse)").matches;
  const plot = (chart) => {
    const style = getComputedStyle(root);
    const spec = coloured(data.figures[chart.id], "", style);
    spec.layout.font = { family: style.getPropertyValue("--sans"), size: 12, color: style.getPropertyValue("--soft").trim() };
    spec.layout.dragmode = touch ? false : "zoom";
    if (chart.clientWidth < 480) for (const axis of ["xaxis", "xaxis2"]) if (spec.layout[axis]) spec.layout[axis].nticks = 4;
    if (scales[chart.id]) spec.layout.yaxis = { ...spec.layout.yaxis, type: scales[chart.id] };
    drawn.add(chart);
    return Plotly.react(chart, spec.data, spec.layout, { responsive: true, displayModeBar: false });
  };
  const draw = () => {
    if (!window.Plotly) return;
    for (const chart of document.querySelectorAll(".part:not([hidden]) .chart")) if (!drawn.has(chart)) plot(chart);
  };
  for (const button of document.querySelectorAll("button[data-log]")) {
    button.addEventListener("click", () => {
      const log = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(log));
      scales[button.dataset.log] = log ? "log" : "linear";
      plot(byId(button.dataset.log));
    });
  }
  const redraw = () => drawn.forEach((chart) => plot(chart));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    for (const chart of document.querySelectorAll(".chart")) plot(chart);
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    redraw();
  });

  if (!window.DecompressionStream) {
    document.querySelector("main").prepend(element("p", "The charts need a browser of 2023 or later; the tables do not.", "note"));
    root.dataset.state = "without charts";
    return;
  }
  const script = document.createElement("script");
  script.textContent = await inflated(byId("plotly").textContent);
  document.head.append(script);
  draw();
  root.dataset.state = "ready";
})();
