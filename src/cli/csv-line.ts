/**
 * One line of RFC 4180 section 2. A cell that a spreadsheet would compute is led by a quote, for names come from outside; white space and the full-width
 * signs are what some of them skip or fold before they look.
 */
export function csvLine(cells: readonly string[]): string {
  return cells.map(csvCell).join(',');
}

function csvCell(value: string): string {
  const safe = /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
