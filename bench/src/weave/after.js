const RATES = { standard: 0.081, reduced: 0.026, none: 0 };

function check(order) {
  const problems = [];
  if (typeof order.order !== "string" || order.order === "") problems.push("order: a text is expected");
  if (!Array.isArray(order.lines) || order.lines.length === 0) problems.push("lines: there are none");
  for (const [index, line] of (order.lines ?? []).entries()) {
    if (!Number.isInteger(line.cents) || line.cents < 0) problems.push(`lines[${index}].cents: ${line.cents}`);
    if (!Number.isInteger(line.count) || line.count < 1 || line.count > 999) problems.push(`lines[${index}].count: ${line.count}`);
    if (!(line.rate in RATES)) problems.push(`lines[${index}].rate: ${line.rate}`);
  }
  return problems;
}

function money(cents) {
  const text = String(Math.abs(cents)).padStart(3, "0");
  return `${cents < 0 ? "-" : ""}${text.slice(0, -2)}.${text.slice(-2)}`;
}

function discount(line) {
  return line.count >= 4 ? Math.round(line.cents * line.count * 0.04) : 0;
}

function shipping(customer, total) {
  const country = customer.country.trim().toUpperCase();
  if (country === "CH" || country === "LI") return total > 15000 ? 0 : 700;
  return 1900;
}

export function price(order) {
  const problems = check(order);
  if (problems.length > 0) return { statusCode: 400, problems };
  const taxes = new Map();
  const lines = [];
  let total = 0;
  for (const line of order.lines) {
    const net = line.cents * line.count - discount(line);
    const tax = Math.round(net * RATES[line.rate]);
    taxes.set(line.rate, (taxes.get(line.rate) ?? 0) + tax);
    total += net + tax;
    lines.push({ sku: line.sku, text: `${line.count} x ${line.title}`.padEnd(32), amount: money(net) });
  }
  const sent = shipping(order.customer, total);
  if (sent === 0) lines.push({ sku: "SHIPPING", text: "free of charge".padEnd(32), amount: money(0) });
  lines.sort((a, b) => (a.sku < b.sku ? -1 : 1));
  const summary = [...taxes].map(([rate, tax]) => `${rate} ${money(tax)}`).join(", ");
  return {
    statusCode: 200,
    order: order.order,
    customer: order.customer.name.trim(),
    lines,
    summary,
    shipping: money(sent),
    total: money(total + sent),
  };
}
