
"use strict";
/* Sorting: a button in every heading of a table; a row with what is folded below it is one <tbody>, which moves as a whole. */
for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const key = (body, column) => {
        const cell = body.rows[0].cells[column];
        if (cell.dataset.v === undefined)
            return cell.textContent.trim();
        return cell.dataset.v === "" ? null : Number(cell.dataset.v);
    };
    const compare = (a, b) => {
        if (typeof a === "number" && typeof b === "number")
            return a - b;
        return String(a).localeCompare(String(b), "en", { numeric: true });
    };
    const sort = (column) => {
        const rows = [...table.tBodies].map((body) => ({ body, key: key(body, column) }));
        const before = heads[column].getAttribute("aria-sort");
        const numbers = rows.some((row) => typeof row.key === "number");
        const descending = before === "none" ? numbers : before === "ascending";
        rows.sort((a, b) => {
            if (a.key === null || b.key === null) /* what is not there stands last */
                return (a.key === null) - (b.key === null);
            return descending ? compare(b.key, a.key) : compare(a.key, b.key);
        });
        for (const head of heads)
            head.setAttribute("aria-sort", "none");
        heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
        table.append(...rows.map((row) => row.body));
    };
    heads.forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        head.append(button);
        head.setAttribute("aria-sort", "none");
        button.addEventListener("click", () => sort(column));
    });
}
/* Filters: a menu for each setting by which the cells of a table differ. Their settings are those that their details list. */
const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });
const menu = (name, values, change) => {
    const label = element("label", name), select = document.createElement("select");
    select.append(new Option("all", ""), ...values.map((value) => new Option(value, "=" + value)));
    select.addEventListener("change", change);
    label.append(select);
    return { label, select };
};
const sorted = (values) => [...values].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
/* Shows those of the items whose values (a Map each) are what the menus say, then calls `after`; `unit`: what they are. */
const filter = (before, items, keys, unit, after) => {
    const bar = element("div", ""), count = element("span", "");
    const update = () => {
        let shown = 0;
        for (const { node, values } of items) {
            node.hidden = menus.some(({ key, select }) => select.value !== "" && select.value !== "=" + values.get(key));
            shown += !node.hidden;
        }
        count.textContent = shown === items.length ? "" : `${shown} of ${items.length} ${unit}`;
        after();
    };
    const menus = keys.map((key) => {
        const values = new Set(items.map((item) => item.values.get(key)).filter((value) => value !== undefined));
        return { key, values, ...menu(key, sorted(values), update) };
    }).filter((one) => one.values.size > 1);
    if (menus.length === 0)
        return;
    bar.className = "filter";
    count.setAttribute("role", "status");
    bar.append(...menus.map((one) => one.label), count);
    before.before(bar);
};
const settings = (node) =>
    [...node.querySelectorAll("dl.settings > dt")].map((dt) => [dt.textContent, dt.nextElementSibling.textContent]);
const first = ["verdict", "class", "cell", "defense", "patch", "attack"];
const keys = (items) => {
    const order = (key) => first.indexOf(key) + 1 || first.length + 1;
    return sorted(new Set(items.flatMap((item) => [...item.values.keys()]))).sort((a, b) => order(a) - order(b));
};
for (const table of document.querySelectorAll("table.cells")) {
    const items = [...table.tBodies].map((node) => ({ node, values: new Map(settings(node)) }));
    filter(table.parentElement, items, keys(items), "cells", () => {});
}
/* A gallery: a section for each cell, hidden where none of its images is shown. */
const sections = [...document.querySelectorAll("section")].filter((one) => one.querySelector("figure[data-verdict]"));
if (sections.length > 0) {
    const items = sections.flatMap((section) => {
        const shared = [...settings(section), ["cell", section.querySelector("h2").textContent]];
        return [...section.querySelectorAll("figure")].map((node) => {
            return { node, values: new Map([...shared, ["verdict", node.dataset.verdict], ["class", node.dataset.class]]) };
        });
    });
    filter(sections[0], items, keys(items), "images", () => {
        for (const section of sections)
            section.hidden = !section.querySelector("figure:not([hidden])");
    });
}
/* Figures are saved as the SVG that the page has, or as a PNG twice as large. */
const save = (href, name) => Object.assign(element("a", ""), { href, download: name });
for (const figure of document.querySelectorAll("figure[data-file]")) {
    const line = element("div", ""), image = figure.querySelector("img"), name = figure.dataset.file;
    const svg = Object.assign(save(image.src, name + ".svg"), { textContent: "save SVG" }), png = element("button", "save PNG");
    png.type = "button";
    png.addEventListener("click", () => {
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        canvas.width = 2 * image.naturalWidth;
        canvas.height = 2 * image.naturalHeight;
        context.fillStyle = "#fff";
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.drawImage(image, 0, 0, canvas.width, canvas.height);
        save(canvas.toDataURL("image/png"), name + ".png").click();
    });
    line.className = "save";
    line.append(svg, png);
    figure.append(line);
}
/* A link to a cell opens it. */
const open = () => {
    const found = document.getElementById(location.hash.slice(1));
    if (found instanceof HTMLDetailsElement) {
        found.closest("tbody").hidden = false;
        found.open = true;
    }
};
addEventListener("hashchange", open);
open();
