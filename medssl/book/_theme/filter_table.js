/* Search, filters, sorting and CSV for tables that medssl.book.filter_table wrote. Nothing is loaded. */
(() => {
  "use strict";
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const plain = text => text.replace("\u2212", "-").replaceAll(",", "");
  const toNumber = text => (text === "" ? NaN : Number(plain(text)));
  const count = value => value.toLocaleString("en-US");

  function start(box) {
    box.dataset.ready = "true";
    const table = box.querySelector("table");
    const body = table.tBodies[0];
    const columns = [...table.tHead.rows[0].cells].map((head, index) => ({
      head, index, name: head.textContent, numeric: head.dataset.type === "number", filter: head.dataset.filter,
    }));
    const rows = [...body.rows].map(row => {
      const cells = [...row.cells].map(cell => cell.textContent);
      return { row, cells, text: cells.join("\n").toLowerCase() };
    });
    const tests = [];
    const status = element("p", { className: "medssl-filter-status", role: "status" });
    const controls = element("form", { className: "medssl-filter-controls" });
    const labelled = (words, ...inputs) => {
      controls.append(element("label", {}, element("span", { textContent: words }), ...inputs));
    };

    const search = element("input", { type: "search", name: "search" });
    labelled("Search", search);
    tests.push(each => search.value.toLowerCase().split(/\s+/).every(word => each.text.includes(word)));

    for (const column of columns.filter(each => each.filter === "choose")) {
      const amounts = new Map();
      for (const { cells } of rows) {
        amounts.set(cells[column.index], (amounts.get(cells[column.index]) || 0) + 1);
      }
      const select = element("select", { name: column.name }, element("option", { value: "all", textContent: "all" }));
      for (const value of [...amounts.keys()].sort()) {
        const words = `${value || "not stated"} (${count(amounts.get(value))})`;
        select.append(element("option", { value: `=${value}`, textContent: words }));
      }
      labelled(column.name, select);
      tests.push(each => select.value === "all" || select.value === `=${each.cells[column.index]}`);
    }

    for (const column of columns.filter(each => each.filter === "range")) {
      const ends = ["from", "to"].map(end => element("input", {
        type: "number", step: "any", name: `${column.name} ${end}`, placeholder: end, ariaLabel: `${column.name} ${end}`,
      }));
      labelled(column.name, ...ends);
      tests.push(each => {
        const value = toNumber(each.cells[column.index]);
        const [low, high] = ends.map(end => end.valueAsNumber);
        const asked = !Number.isNaN(low) || !Number.isNaN(high);
        return !asked || !(Number.isNaN(value) || value < low || value > high);
      });
    }

    const filter = () => {
      let shown = 0;
      for (const each of rows) {
        each.row.hidden = !tests.every(test => test(each));
        shown += !each.row.hidden;
      }
      status.textContent = `${count(shown)} of ${count(rows.length)} rows shown`;
    };

    const compare = (column, sign) => (a, b) => {
      const [first, second] = [a.cells[column.index], b.cells[column.index]];
      if (!first || !second) return !first - !second;  // blanks stay at the end
      return sign * (column.numeric ? toNumber(first) - toNumber(second) : first.localeCompare(second, "en"));
    };
    const given = [...rows];
    const sort = (column, direction) => {  // without a column: back to the order in which the page came
      rows.splice(0, rows.length, ...given);
      columns.forEach(each => each.head.removeAttribute("aria-sort"));
      if (column) {
        rows.sort(compare(column, direction === "descending" ? -1 : 1));
        column.head.setAttribute("aria-sort", direction);
      }
      body.append(...rows.map(each => each.row));
      order.value = column ? `${column.index} ${direction}` : "";
    };
    for (const column of columns) {
      const button = element("button", { type: "button", textContent: column.name });
      button.addEventListener("click", () => {
        sort(column, column.head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
      });
      column.head.replaceChildren(button);
    }
    const order = element("select", { name: "order" }, element("option", { value: "", textContent: "as given" }));
    for (const column of columns) {
      for (const direction of ["ascending", "descending"]) {
        const value = `${column.index} ${direction}`;
        order.append(element("option", { value, textContent: `${column.name}, ${direction}` }));
      }
    }
    order.addEventListener("change", () => {
      const [index, direction] = order.value.split(" ");
      sort(columns[index], direction);
    });
    labelled("Sort by", order);
    order.parentElement.className = "medssl-filter-order";

    const csv = () => {
      const quoted = text => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
      const line = cells => cells.map((text, index) => quoted(columns[index].numeric ? plain(text) : text)).join(",");
      const shown = rows.filter(each => !each.row.hidden).map(each => line(each.cells));
      return [columns.map(each => quoted(each.name)).join(","), ...shown, ""].join("\n");
    };
    const save = element("button", { type: "button", textContent: "Save these rows as CSV" });
    save.addEventListener("click", () => {
      const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
      element("a", { href: address, download: `${box.id}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10000);
    });
    controls.append(element("button", { type: "reset", textContent: "Show all" }), save);

    controls.addEventListener("submit", event => event.preventDefault());
    controls.addEventListener("input", filter);
    controls.addEventListener("reset", () => setTimeout(() => { sort(); filter(); }));
    box.prepend(controls, status);
    filter();
  }

  document.querySelectorAll(".medssl-filter:not([data-ready])").forEach(start);
})();
