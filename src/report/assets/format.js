// Numbers and names as text. Rounded for reading; callers put the full digits in a title.

function formatNumber(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return Array.isArray(value) ? value.map(formatNumber).join(", ") : String(value);
  return rounded(value).replaceAll("-", "−");
}

// About four significant digits; exponents only for what is too small to write out.
function rounded(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return formatLarge(value);
  if (Number.isInteger(value) || size >= 1000) return groupThousands(Math.round(value));
  if (size >= 100) return value.toFixed(1);
  if (size >= 10) return value.toFixed(2);
  return size >= 0.001 ? value.toFixed(size >= 0.1 ? 3 : 4) : value.toExponential(2);
}

function groupThousands(value) {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

// 4,796,544 → 4.80M; decimal units as in the recipes.
function formatLarge(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return `${(value / unit).toPrecision(3)}${letter}`;
  }
  return formatNumber(value);
}

function formatSeconds(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
  if (seconds < 7200) return `${Number((seconds / 60).toPrecision(2))} min`;
  return `${Number((seconds / 3600).toPrecision(2))} h`;
}

function formatSigned(value) {
  const text = Math.abs(value).toFixed(2);
  return `${value < 0 ? "−" : "+"}${text}`;
}

// "4.11 ± 0.11": a figure in the digits that its error carries, as src/core/with_error.h has it; three significant ones without an error.
function withError(value, error, signed = false) {
  const known = error > 1e-12 * Math.max(1, Math.abs(value));
  const decimals = known ? decimalsOfError(error) : value === 0 ? 0 : 2 - Number(Math.abs(value).toExponential(2).split("e")[1]);
  const text = (number, sign) => {
    const scale = 10 ** -decimals;
    const digits = (decimals < 0 ? Math.round(Math.abs(number) / scale) * scale : Math.abs(number)).toFixed(Math.max(0, decimals));
    return `${Number(digits) === 0 ? "" : number < 0 ? "−" : sign ? "+" : ""}${digits}`;
  };
  return known ? `${text(value, signed)} ± ${text(error)}` : text(value, signed);
}

function decimalsOfError(error) {
  const exponent = Math.floor(Math.log10(error));
  const leading = Math.round(error / 10 ** (exponent - 2));
  return leading >= 355 ? -exponent : 1 - exponent;
}

// Plotly reads a little HTML and %{…} in its labels; names from data must show as they are.
function chartText(text, longest = 34) {
  const name = String(text);
  if (name.length > longest) cutNames.add(name);
  const cut = name.length > longest ? `${name.slice(0, longest - 1)}…` : name;
  return cut.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("%", "&#37;");
}

// The name of an arm: a long one loses its middle, since names that begin alike tell themselves apart by their ends.
function chartName(text, longest = 34) {
  const name = String(text);
  if (name.length <= longest) return chartText(name, longest);
  cutNames.add(name);
  const head = Math.ceil((longest - 1) / 2);
  return chartText(`${name.slice(0, head)}…${name.slice(name.length - (longest - 1 - head))}`, longest);
}

// The same on up to `lines` lines, broken after a sign where there is one and that does not cost the name its end.
function wrappedName(text, longest, lines = 3) {
  let rest = String(text);
  const out = [];
  while (rest.length > longest && out.length + 1 < lines) {
    const signs = [...rest.slice(0, longest + 1).matchAll(/[-_ +=/]|[.,](?!\d)/g)].map(({ index }) => index).filter((index) => index < longest);  // "0.2" stays whole
    const at = signs.at(-1) ?? -1;
    const left = longest * (lines - out.length - 1);  // room after this line
    const isWhole = rest.length - at - 1 <= left || rest.length - longest > left;
    const end = at >= longest / 4 && isWhole ? at + 1 : longest;
    out.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  if (rest.length > longest) {
    cutNames.add(String(text));
    rest = `…${rest.slice(rest.length - longest + 1)}`;
  }
  return [...out, rest].map((line) => chartText(line)).join("<br>");
}

// Of an arm, in a legend, and where the pointer stands.
function legendName(name) { return wrappedName(name, 34, 2); }
function hoverName(name) { return wrappedName(name, 34, 9); }

// What takes room or nothing and leaves no ink: every white space, control, format and direction character, what a font
// may ignore (fillers, variation selectors, joiners), and the empty Braille pattern.
const kUnseen = /[\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/u;

// Text of a token: what cannot be seen as signs that can; long ones cut.
function visibleText(text, longest = 60) {
  const characters = Array.from(String(text));
  const signs = { " ": "␣", "\n": "↵", "\r": "␍", "\t": "⇥" };
  const shown = characters.slice(0, longest).map((character) => {
    if (Object.hasOwn(signs, character)) return signs[character];
    const code = character.codePointAt(0);
    if (code < 32) return String.fromCodePoint(0x2400 + code);
    return kUnseen.test(character) ? `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]` : character;
  });
  return shown.join("") + (characters.length > longest ? `… (${formatNumber(characters.length)} characters)` : "");
}

// What the ends of the entropy of a load mean.
const kEntropyEnds = "1 is a uniform load; the least, where all tokens have the same k of E experts, is ln k ÷ ln E (0 for k = 1).";

function plain(name) { return String(name).replaceAll("_", " "); }

function list(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
