// A terminal's lines as an SVG: no library, and the same lines always give the same picture.

const CELL = 7.8;
const LINE = 18;
const PAD = 18;
const BAR = 34;

const INK = {
  ground: "#11151c",
  bar: "#1b212b",
  text: "#d6dce5",
  dim: "#77839a",
  shell: "#f2c063",
  server: "#9aa7bd",
  editor: "#7fd1a8",
  browser: "#7db7f5",
  curl: "#d79bf0",
  alarm: "#f08a7d",
};

const escape = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

// Each piece is pinned to its cells, so that a font of another width moves nothing.
function piece({ text, ink, column, row, bold }) {
  if (text.trim() === "") return "";
  const lead = text.length - text.trimStart().length;
  const shown = text.trim();
  const x = (PAD + (column + lead) * CELL).toFixed(1);
  const y = BAR + PAD + row * LINE;
  const width = (shown.length * CELL).toFixed(1);
  const weight = bold ? ' font-weight="bold"' : "";
  return `<text x="${x}" y="${y}" textLength="${width}" lengthAdjust="spacingAndGlyphs" fill="${INK[ink]}"${weight}>${escape(shown)}</text>`;
}

// lines: [[{ text, ink, bold? }, …], …]; each line is at most `columns` long.
export function terminal({ title, description, lines, columns }) {
  const width = Math.ceil(PAD * 2 + columns * CELL);
  const height = BAR + PAD * 2 + (lines.length - 1) * LINE;
  const body = lines.flatMap((line, row) => {
    let column = 0;
    return line.map((part) => {
      const drawn = piece({ ...part, column, row });
      column += part.text.length;
      return drawn;
    });
  });
  const dots = [0, 1, 2].map((at) => `<circle cx="${PAD + 4 + at * 16}" cy="${BAR / 2}" r="5" fill="#3a4456"/>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<desc>${escape(description)}</desc>`,
    `<rect width="${width}" height="${height}" rx="8" fill="${INK.ground}"/>`,
    `<path d="M0 8a8 8 0 0 1 8-8h${width - 16}a8 8 0 0 1 8 8v${BAR - 8}H0z" fill="${INK.bar}"/>`,
    ...dots,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" xml:space="preserve">`,
    `<text x="${width / 2}" y="${BAR / 2 + 4.5}" text-anchor="middle" fill="${INK.dim}">${escape(title)}</text>`,
    ...body.filter((drawn) => drawn !== ""),
    `</g>`,
    `</svg>`,
    "",
  ].join("\n");
}
