import { type Invocation, textOption } from './command.ts';

/** `?environment=…` and further parameters, those that are there; empty text where there are none. */
export function queryOf(invocation: Invocation, parameters: { readonly [name: string]: string | undefined } = {}): string {
  const given = Object.entries({ environment: textOption(invocation, 'environment'), ...parameters });
  const search = new URLSearchParams(given.filter((entry): entry is [string, string] => entry[1] !== undefined));
  return search.size === 0 ? '' : `?${search.toString()}`;
}

/** The body of an order: reason and environment, where given. */
export function orderOf(invocation: Invocation): { readonly [name: string]: string } {
  const given = Object.entries({ environment: textOption(invocation, 'environment'), reason: textOption(invocation, 'reason') });
  return Object.fromEntries(given.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
