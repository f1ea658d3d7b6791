/** What is ordered: a DNS name, also behind `*.`, or an address (RFC 8738) in the text of RFC 5952. */
export type Identifier = { readonly type: 'dns' | 'ip'; readonly value: string };
