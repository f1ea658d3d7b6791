import { type ContentCipher, contentCiphers, parseEnvelopedData } from '../../core/cms/enveloped-data.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { equalOctets } from '../../core/x509/der.ts';
import { type ScepDeps, takesLegacy } from './deps.ts';
import type { PkiMessage } from './pki-message.ts';
import { ScepRefusal } from './problems.ts';

/** What a message holds, and the cipher that its client knows. */
export type OpenedMessage = { readonly content: Uint8Array; readonly cipher: ContentCipher };

/**
 * Opens the envelope of a message whose signature was verified. Whoever signs may be anybody, and so send the envelope of another, changed: what does not open and
 * what makes no sense are one refusal, or the answers would decrypt it octet by octet. @throws ScepRefusal badAlg for ciphers that are not taken, else badMessageCheck
 */
export function openMessage(
  deps: Pick<ScepDeps, 'registrationAuthority' | 'legacyUntil'>,
  { signed }: PkiMessage,
  now: Instant,
): OpenedMessage {
  const { certificate, key } = deps.registrationAuthority();
  const { envelope, cipher } = readEnvelope(deps, signed.content, now);
  const { issuer, serial } = certificate;
  const ours = envelope.recipients.find((one) => equalOctets(one.issuer.der, issuer.der) && equalOctets(one.serial, serial));
  // A certificate of ours from before the last renewal has the same key.
  const recipient = ours ?? (envelope.recipients.length === 1 ? envelope.recipients[0] : undefined);
  if (recipient === undefined) throw notOpened('no recipient is ours');
  if (recipient.encryptedKey === null) throw new ScepRefusal('badAlg', 'the content key is encrypted in another way than RSA PKCS#1 v1.5');
  const content = key.open({ ...envelope, cipher }, recipient.encryptedKey);
  if (content === null) throw notOpened('the envelope does not open');
  return { content, cipher };
}

/** Runs what reads the content; a fault of form is told as an envelope that does not open. */
export function readOpened<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Problem) throw notOpened(error.message);
    throw error;
  }
}

export function notOpened(reason: string): ScepRefusal {
  return new ScepRefusal('badMessageCheck', reason);
}

/** The cipher that the client knows, of a message whose content says nothing that is needed: what is not opened tells nothing about what is in it. */
export function cipherOfMessage(deps: Pick<ScepDeps, 'legacyUntil'>, { signed }: PkiMessage, now: Instant): ContentCipher {
  return readEnvelope(deps, signed.content, now).cipher;
}

function readEnvelope(deps: Pick<ScepDeps, 'legacyUntil'>, content: Uint8Array | null, now: Instant) {
  if (content === null) throw notOpened('no content');
  const envelope = readOpened(() => parseEnvelopedData(content));
  const { cipher } = envelope;
  if (cipher === null || (contentCiphers[cipher].standing === 'old' && !takesLegacy(deps, now)))
    throw new ScepRefusal('badAlg', 'the content is encrypted by another cipher than AES in CBC mode');
  return { envelope, cipher };
}
