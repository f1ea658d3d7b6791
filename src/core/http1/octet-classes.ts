/** RFC 9110 section 5.6.2: 1 where the octet may stand in a token, such as a field name. */
export const isTokenOctet: Uint8Array = classOf("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

/** RFC 9110 section 5.5: field-vchar, SP and HTAB. CR, LF, NUL and other controls are none. */
export const isValueOctet: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet === 0x09 || (octet >= 0x20 && octet !== 0x7f) ? 1 : 0,
);

/** Visible ASCII without `#`: a request target has no fragment (RFC 9112 section 3.2). */
export const isTargetOctet: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet > 0x20 && octet < 0x7f && octet !== 0x23 ? 1 : 0,
);

/** RFC 3986 section 3.2.2 and a port: what a Host field may hold. No userinfo, path or space. */
export const isHostOctet: Uint8Array = classOf("-._~!$&'()*+,;=%:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

function classOf(octets: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const octet of octets) table[octet.charCodeAt(0)] = 1;
  return table;
}

export const SP = 0x20;
export const HTAB = 0x09;
export const CR = 0x0d;
export const LF = 0x0a;
export const COLON = 0x3a;
