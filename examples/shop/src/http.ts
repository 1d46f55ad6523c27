// The little that HTTP handlers share.

import type { HttpEvent, HttpResponse, Json } from "belay";

export const method = (event: HttpEvent) => event.requestContext.http.method;

/** The first part of the path behind the function's name. */
export const segment = (event: HttpEvent) => decodeURIComponent(event.rawPath.split("/")[1] ?? "");

export const text = (event: HttpEvent) => (event.isBase64Encoded ? atob(event.body ?? "") : (event.body ?? ""));

export function answer(statusCode: number, body: Json): HttpResponse {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
