import type { PkiHeader } from '../../core/cmp/pki-header.ts';
import type { Instant } from '../../core/time/instant.ts';
import { isEmptyName, sameName } from '../../core/x509/name.ts';
import type { CmpDeps } from './deps.ts';
import { CmpProblem } from './problems.ts';
import { MESSAGE_WINDOW_MS } from './seen-messages.ts';

/** A header of which all is there that an answer needs. */
export type CheckedHeader = PkiHeader & { readonly transactionId: Uint8Array; readonly senderNonce: Uint8Array };

/** What a header must have (RFC 9483 section 3.1 and 3.5), of a message whose protection was verified. @throws CmpProblem */
export function checkHeader(
  { authorities, signer }: Pick<CmpDeps, 'authorities' | 'signer'>,
  header: PkiHeader,
  now: Instant,
): CheckedHeader {
  const { transactionId, senderNonce, messageTime, recipient } = header;
  if (transactionId === null || transactionId.length < MINIMUM_OCTETS)
    throw new CmpProblem('badRequest', 'Cannot read message: its transaction ID is absent or short');
  if (senderNonce === null || senderNonce.length < MINIMUM_OCTETS)
    throw new CmpProblem('badSenderNonce', 'Cannot read message: its nonce is absent or short');
  // The RFC leaves it to us whether the time must be there; without it a message could be sent again for ever.
  if (messageTime === null || Math.abs(now - messageTime) > MESSAGE_WINDOW_MS)
    throw new CmpProblem(
      'badTime',
      `Cannot read message: its time is ${messageTime === null ? 'absent' : `off by ${now - messageTime} ms`}`,
    );
  const own = [signer().certificate, ...authorities.issuing.map(({ certificate }) => certificate), ...authorities.roots];
  // Who does not know us yet leaves the name empty.
  if (recipient === null || !(isEmptyName(recipient) || own.some(({ subject }) => sameName(subject, recipient))))
    throw new CmpProblem(
      'wrongAuthority',
      `Cannot read message: it is for ${recipient?.text.slice(0, 200) ?? 'somebody without a directory name'}`,
    );
  return { ...header, transactionId, senderNonce };
}

/** RFC 9810 section 5.1.1: 128 bits. */
const MINIMUM_OCTETS = 16;
