
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
/* A link to a cell opens it. */
const open = () => {
    const found = document.getElementById(location.hash.slice(1));
    if (found instanceof HTMLDetailsElement)
        found.open = true;
};
addEventListener("hashchange", open);
open();
