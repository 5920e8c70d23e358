// A click on the head of a column sorts the table by it: numbers by size, texts by the alphabet, empty cells last.
for (const table of document.querySelectorAll("table")) {
  const [head, ...rows] = table.rows;
  const number = (text) => parseFloat(text.replace(/[,*\u2020+]/g, ""));
  const compare = (one, other) => {
    const [a, b] = [number(one), number(other)];
    if (!one || !other) return !one - !other;
    return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
  };
  [...head.cells].forEach((cell, place) => cell.addEventListener("click", () => {
    const falls = cell.getAttribute("aria-sort") === "ascending";
    const text = (row) => row.cells[place]?.textContent.trim() ?? "";
    rows.sort((a, b) => (text(a) && text(b) && falls ? -1 : 1) * compare(text(a), text(b)));
    for (const other of head.cells) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", falls ? "descending" : "ascending");
    rows.forEach((row) => row.parentNode.append(row));
  }));
}
