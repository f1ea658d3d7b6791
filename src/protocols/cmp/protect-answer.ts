import { computeMac, type MacAlgorithm, macAlgorithmIdentifier } from '../../core/cmp/mac-algorithm.ts';
import { type AnswerHeader, type PkiHeader, pkiHeaderNode } from '../../core/cmp/pki-header.ts';
import { assemblePkiMessage, unprotectedMessage } from '../../core/cmp/pki-message.ts';
import type { Instant } from '../../core/time/instant.ts';
import { buildName } from '../../core/x509/name.ts';
import { algorithmIdentifier } from '../../core/x509/signature-algorithm.ts';
import { randomOctets } from '../../platform/ids/random-octets.ts';
import type { CmpAnswer } from './answer.ts';
import type { CmpDeps } from './deps.ts';
import type { Sender } from './sender.ts';

/**
 * The whole answer, protected as the request was: by the secret if one was proved to be known, else by the signature of our signer. So an error is protected
 * too, even to somebody whom nobody knows.
 */
export async function protectAnswer(
  deps: Pick<CmpDeps, 'signer'>,
  {
    asked,
    sender,
    answer,
    nonce,
  }: { readonly asked: PkiHeader; readonly sender: Sender | null; readonly answer: CmpAnswer; readonly nonce: Uint8Array },
  now: Instant,
): Promise<Uint8Array> {
  const { certificate, chain, algorithm, sign } = deps.signer();
  const mac = sender?.kind === 'secret' ? answerAlgorithm(sender.algorithm) : null;
  const header: AnswerHeader = {
    // RFC 9810 section 7: the version of the request, if it is one that we speak.
    version: asked.version === 3 ? 3 : 2,
    sender: certificate.subject,
    recipient: asked.sender ?? buildName([]),
    messageTime: now,
    protectionAlgorithm: mac === null ? algorithmIdentifier(algorithm) : macAlgorithmIdentifier(mac),
    senderKeyId: mac === null ? Buffer.from(certificate.subjectKeyId ?? '', 'hex') : asked.senderKeyId,
    transactionId: asked.transactionId ?? randomOctets(NONCE_OCTETS),
    senderNonce: nonce,
    recipientNonce: asked.senderNonce,
    info: answer.info ?? [],
  };
  const message = unprotectedMessage(pkiHeaderNode(header), answer.kind, answer.content);
  const { certificates = [] } = answer;
  if (mac === null || sender?.kind !== 'secret') {
    // Both chains end alike; nobody needs a certificate twice.
    const beside = new Map([...chain, ...certificates].map((der) => [Buffer.from(der).toString('base64'), der]));
    return assemblePkiMessage(message, sign(message.protectedPart), [...beside.values()]);
  }
  const protection = await computeMac(mac, Buffer.from(sender.key.reveal()), message.protectedPart);
  return assemblePkiMessage(message, protection, certificates);
}

/** By what the request was protected, under a new salt. Iterations are for secrets that can be guessed, which ours are not: as many as clients take at least. */
function answerAlgorithm(asked: MacAlgorithm): MacAlgorithm {
  const least = asked.kind === 'pbm' ? LEAST_PBM_ITERATIONS : LEAST_PBKDF2_ITERATIONS;
  return { ...asked, salt: randomOctets(SALT_OCTETS), iterations: Math.min(asked.iterations, least) };
}

export const NONCE_OCTETS = 16;
const SALT_OCTETS = 16;
/** RFC 9810 section 5.1.3.1. */
const LEAST_PBM_ITERATIONS = 100;
/** RFC 8018 section 4.2. */
const LEAST_PBKDF2_ITERATIONS = 1_000;
