/** What goes back; the listener adds nonce, index link and the headers that every answer has. */
export type AcmeAnswer = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | readonly string[] };
  /** Null: no body. */
  readonly body: string | null;
};

export function jsonAnswer(status: number, value: unknown, headers: AcmeAnswer['headers'] = {}): AcmeAnswer {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) };
}

export function linkTo(url: string, relation: 'index' | 'up' | 'next' | 'alternate' | 'terms-of-service'): string {
  return `<${url}>;rel="${relation}"`;
}
