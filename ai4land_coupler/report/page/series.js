// The charts of a run.

function drawCharts() {
  const { years, classes, area: areas, groups, gained } = facts;
  const column = (table, i) => table.map((row) => row[i]);
  const charts = [];
  const add = (figure, spec) => charts.push(new Chart(figure, spec, setYear));
  const sum = (values) => values.reduce((a, b) => a + b, 0);

  add(byId("chart-change"), {
    title: `Change of area since ${years[0]}, km\u00b2`,
    label: `Change of the area of each class since ${years[0]}; the values are in the table below.`,
    height: 400, zero: true, names: true,
    lines: classes.map((item, i) => ({ ...item, values: areas.map((row) => row[i] - areas[0][i]) }))
      .filter((line) => line.values.some(Boolean)),
  });
  if (gained) {
    add(byId("chart-gross"), {
      title: "Gross change per year, by new class, km\u00b2",
      label: "Area that changed its class in a year, stacked by new class.",
      zero: true, bars: classes.map(({ colour }, i) => ({ colour, values: column(gained, i) })),
      value: (i) => (sum(gained[i]) ? `${years[i]}: ${area(sum(gained[i]))}` : ""),
    });
  } else byId("chart-gross").remove();
  if (groups && !groups.some((group) => group.unmet.some(Boolean))) {
    const said = element("p", { class: "hint" }, "The demand of the scenario was met, in every year.");
    byId("chart-unmet").append(element("figcaption", {}, "Unmet demand"), said);
    drawGroups(groups.filter((group) => group.classes.length), add);
  } else if (groups) {
    add(byId("chart-unmet"), {
      title: "Unmet demand, km\u00b2",
      label: "Net change of the scenario that was not possible, stacked by group.",
      zero: true,
      bars: groups.map((group) => ({ colour: classes[group.classes[0]]?.colour ?? "#888888", values: group.unmet })),
      value: (i) => `${years[i]}: ${area(sum(groups.map((group) => group.unmet[i])))}`,
    });
    drawGroups(groups.filter((group) => group.classes.length), add);
  } else byId("chart-unmet").remove();
  fillAreaTable();
  return charts;
}

/** One small chart per group: its area, and the range of its demand. */
function drawGroups(groups, add) {
  if (!groups.length) return;
  byId("demand").hidden = false;
  const signedKnown = groups.every((group) => group.demand);
  byId("demand-text").textContent = signedKnown
    ? "Lines: area on the map. Dashes: area that the scenario demands. Where they differ, demand was not met."
    : "Lines: area on the map. Shaded: the scenario's demand is in this range, whose half width is the unmet demand.";
  for (const group of groups) {
    const total = facts.area.map((row) => group.classes.reduce((sum, i) => sum + row[i], 0));
    const { colour } = facts.classes[group.classes[0]];
    const members = group.classes.map((i) => facts.classes[i].name);
    const title = members.length > 1 ? `${group.name} (${members.join(", ")})` : members[0];
    const figure = element("figure", { class: "card" });
    byId("chart-groups").append(figure);
    add(figure, {
      title, height: 140, label: `Area of ${title} over the years, and the demand of the scenario.`,
      lines: [{ colour, values: total }],
      dashes: group.demand ? [{ values: group.demand }] : [],
      bands: group.demand ? [] : [{
        colour, low: total.map((v, i) => v - group.unmet[i]), high: total.map((v, i) => v + group.unmet[i]),
      }],
      value: (i) => (group.demand ? `${area(total[i])} of ${number(group.demand[i])}` : area(total[i])),
    });
  }
}

function fillAreaTable() {
  const heads = ["year", ...facts.classes.map((item) => `${item.name}, km\u00b2`)];
  byId("area-table").append(
    element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...facts.years.map((year, i) => element("tr", {},
      element("th", { scope: "row" }, String(year)),
      ...facts.area[i].map((value) => element("td", {}, value === null ? "" : number(value)))))),
  );
}

function fillFacts() {
  const pairs = (id, rows) => byId(id).append(element("tbody", {}, ...rows.map(([label, value]) =>
    element("tr", {}, element("th", { scope: "row" }, label), element("td", {}, value)))));
  pairs("quality", facts.quality);
  pairs("run", facts.run);
  pairs("software", facts.software);
  byId("inputs").append(
    element("thead", {}, element("tr", {}, ...["file", "bytes", "SHA-256", "of its"].map((text) =>
      element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...facts.inputs.map(([name, bytes, digest, of]) => element("tr", {},
      element("td", {}, name), element("td", {}, whole.format(bytes)), element("td", {}, element("code", {}, digest)),
      element("td", {}, of)))),
  );
  byId("config").textContent = facts.config;
}
