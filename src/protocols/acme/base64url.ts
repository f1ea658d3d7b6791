/**
 * Base64url without padding (RFC 7515 section 2), in its one spelling: no line ends, no padding, no stray bits at the end. Null for anything else.
 * RFC 8555 section 6.1 has padded text refused.
 */
export function decodeBase64url(text: string): Buffer | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
  const octets = Buffer.from(text, 'base64url');
  return octets.toString('base64url') === text ? octets : null;
}
