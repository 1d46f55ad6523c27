import { kv, type HttpHandler } from "belay";

import { answer, segment } from "./http";
import { all, find, money, stock, type Product } from "./products";

/** All products, those with `?tag=`, or one by its SKU. */
export const catalog: HttpHandler = async (event) => {
  const sku = segment(event);
  if (sku !== "") {
    const product = find(sku);
    return product ? listed(product) : answer(404, { error: `there is no product ${sku}` });
  }
  const tag = event.queryStringParameters?.tag;
  const wanted = all.filter((product) => tag === undefined || product.tags.includes(tag));
  return Promise.all(wanted.map(listed));
};

async function listed(product: Product) {
  return { sku: product.sku, name: product.name, price: money(product.cents), left: await stock(kv, product) };
}
