/**
 * Base64url without padding (RFC 7515 section 2), in its one spelling: no line ends, no padding, no stray bits at the end. Null for anything else.
 * RFC 8555 section 6.1 has padded text refused.
 */
export function decodeBase64url(text: string): Buffer | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
  const over = text.length % 4;
  // The last character of two or three stands for 12 or 18 bits, of which 8 or 16 are meant.
  if (over === 1 || (over === 2 && !'AQgw'.includes(text.at(-1)!)) || (over === 3 && !'AEIMQUYcgkosw048'.includes(text.at(-1)!)))
    return null;
  return Buffer.from(text, 'base64url');
}
