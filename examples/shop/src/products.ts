// The catalogue: what the shop sells, and how much of it is left.

import { env, type KvTransaction } from "belay";

import products from "./products.json";

export interface Product {
  sku: string;
  name: string;
  cents: number;
  stock: number;
  tags: string[];
}

export const all: Product[] = products;

const bySku = new Map(all.map((product) => [product.sku, product]));

export const find = (sku: string) => bySku.get(sku);

/** Where the number of pieces left is kept; before the first sale it is the catalogue's. */
export const stockKey = (sku: string) => `stock/${sku}`;

export async function stock(from: Pick<KvTransaction, "get">, product: Product): Promise<number> {
  return (await from.get<number>(stockKey(product.sku))) ?? product.stock;
}

export const money = (cents: number) => `${(cents / 100).toFixed(2)} ${env.CURRENCY}`;
