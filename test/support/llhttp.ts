/** Messages as an HTTP/1.1 reader found them in a stream of octets: field names in lower case, values without white space around them. */
export type ReadMessage = {
  /** Method and target of a request, status of an answer. */
  readonly start: string;
  readonly fields: readonly string[];
  readonly body: string;
};

/** Those that were whole, and whether what followed was refused. */
export type ReadMessages = { readonly messages: readonly ReadMessage[]; readonly isRefused: boolean };

type Parser = {
  initialize(type: number, resource: object, maximumOctets: number, lenientFlags: number): void;
  execute(octets: Buffer): number | Error;
  [callback: number]: unknown;
};
type Common = {
  readonly HTTPParser: (new () => Parser) & {
    readonly [name in 'REQUEST' | 'RESPONSE' | 'kOnHeadersComplete' | 'kOnBody' | 'kOnMessageComplete' | 'kOnHeaders']: number;
  };
  readonly methods: readonly string[];
};

/** What Node's own parser, llhttp in its strict mode, makes of these octets. */
export function readByLlhttp(octets: Buffer, type: 'request' | 'answer'): ReadMessages {
  const messages: ReadMessage[] = [];
  let start = '';
  let fields: string[] = [];
  let body = '';
  const parser = new HTTPParser();
  parser.initialize(type === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 65_536, 0);
  parser[HTTPParser.kOnHeaders] = (more: readonly string[], url: string) => {
    // Long heads come in portions; those of a trailer section come last, and are no concern here.
    if (start !== '') return;
    fields = [...fields, ...more];
    partialUrl += url;
  };
  let partialUrl = '';
  parser[HTTPParser.kOnHeadersComplete] = (...facts: readonly unknown[]) => {
    const [, , raw, method, url, status] = facts as [number, number, string[] | undefined, number, string | undefined, number];
    start = type === 'request' ? `${allMethods[method]} ${partialUrl}${url ?? ''}` : String(status);
    fields = [...fields, ...(raw ?? [])].map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text.replace(/^[ \t]+|[ \t]+$/g, '')));
    partialUrl = '';
    return 0;
  };
  parser[HTTPParser.kOnBody] = (piece: Buffer) => void (body += piece.toString('latin1'));
  parser[HTTPParser.kOnMessageComplete] = () => {
    messages.push({ start, fields, body });
    start = '';
    fields = [];
    body = '';
  };
  for (let at = 0; at < octets.length;) {
    const read = parser.execute(octets.subarray(at));
    if (typeof read !== 'number') return { messages, isRefused: true };
    // It stops behind an upgrade that nobody takes up.
    if (read === 0) break;
    at += read;
  }
  return { messages, isRefused: false };
}

/** Not documented, and the only door to it; as a name that the types of Node do not know. */
const COMMON: string = 'node:_http_common';
const { HTTPParser, methods: allMethods } = (await import(COMMON)) as Common;
