import { findGrantFault } from '../../control/grants/claim-grant.ts';
import { boundsOf, type DoorGrant } from '../../control/grants/door-grant.ts';
import { type BodyKind, type PkiMessage, readPkiMessage } from '../../core/cmp/pki-message.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { randomOctets } from '../../platform/ids/random-octets.ts';
import { type CmpAnswer, errorAnswer } from './answer.ts';
import { answerGeneral } from './answer-general.ts';
import { answerRequest, type Call } from './answer-request.ts';
import { answerRevocation } from './answer-revocation.ts';
import { authenticate } from './authenticate.ts';
import { cmpOids } from '../../core/cmp/cmp-oids.ts';
import { readCertProfiles } from '../../core/cmp/read-bodies.ts';
import { type CheckedHeader, checkHeader } from './check-header.ts';
import { confirmCertificate } from './confirm-certificate.ts';
import type { CmpDeps } from './deps.ts';
import { logRefusal } from './log-refusal.ts';
import { pollCertificate } from './poll-certificate.ts';
import { CmpProblem, toCmpProblem } from './problems.ts';
import { NONCE_OCTETS, protectAnswer } from './protect-answer.ts';
import { refusedSecret } from './order-of.ts';
import type { Sender } from './sender.ts';

/** Answers one message; null: it is none, so that there is nobody whom an answer could be for. */
export async function answerMessage(
  deps: CmpDeps,
  { octets, profile }: { readonly octets: Uint8Array; /** That the path names; null: none. */ readonly profile: string | null },
  now: Instant,
): Promise<Uint8Array | null> {
  const message = readMessage(octets);
  if (message === null) return null;
  const nonce = randomOctets(NONCE_OCTETS);
  let sender: Sender | null = null;
  let answer: CmpAnswer;
  try {
    if (message.header.version !== 2 && message.header.version !== 3)
      throw new CmpProblem('unsupportedVersion', `Cannot read message: version ${message.header.version}, expected 2 or 3`);
    sender = await authenticate(deps, message, now);
    const header = checkHeader(deps, message.header, now);
    demandProfile(header, sender, profile);
    answer = await answerCall(deps, { message, header, sender, nonce }, now);
  } catch (error) {
    answer = await refuse(deps, { error, message, sender }, now);
  }
  return protectAnswer(deps, { asked: message.header, sender, answer, nonce }, now);
}

function readMessage(octets: Uint8Array): PkiMessage | null {
  try {
    return readPkiMessage(octets);
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** The reason is for the log; the outside is told by which bit of PKIFailureInfo. */
async function refuse(
  deps: Pick<CmpDeps, 'log' | 'refusals'>,
  { error, message, sender }: { readonly error: unknown; readonly message: PkiMessage; readonly sender: Sender | null },
  now: Instant,
): Promise<CmpAnswer> {
  const problem = toCmpProblem(error);
  const { failure, message: reason } = problem;
  const isFault = failure === 'systemFailure';
  const told = { sender: sender?.name ?? null, body: message.kind, failure, reason };
  deps.log(isFault ? 'error' : 'warn', 'cmp.refused', isFault ? { ...told, err: problem.cause ?? problem } : told);
  await logRefusal(deps, { body: message.kind, problem, sender }, now);
  return errorAnswer(failure);
}

async function answerCall(deps: CmpDeps, call: Call, now: Instant): Promise<CmpAnswer> {
  const { message, header, sender } = call;
  const { kind } = message;
  const transaction = `${sender.name} ${Buffer.from(header.transactionId).toString('hex')}`;
  // What begins a transaction has an id of its own, what goes on with one a nonce of its own.
  const key = goesOn(kind) ? `${transaction} ${Buffer.from(header.senderNonce).toString('hex')}` : transaction;
  if (!deps.seen.take(key, now))
    throw new CmpProblem('transactionIdInUse', 'Cannot answer: the message was answered before, or its transaction ID used');
  if (sender.kind === 'certificate' && sender.record.notAfter < now && kind !== 'kur' && kind !== 'certConf')
    throw new CmpProblem('signerNotTrusted', 'Cannot trust signer: its certificate has ended, expected an update of it');
  const fault = sender.kind === 'secret' ? await findUseFault(deps, { grant: sender.grant, kind }, now) : null;
  if (fault !== null) throw refusedSecret(sender, fault);
  switch (kind) {
    case 'ir':
    case 'cr':
    case 'p10cr':
    case 'kur':
      return answerRequest(deps, kind, call, now);
    case 'certConf':
      return confirmCertificate(deps, call, now);
    case 'pollReq':
      return pollCertificate(deps, call, now);
    case 'genm':
      return answerGeneral(deps, call);
    case 'rr':
      return answerRevocation(deps, call, now);
    default:
      throw new CmpProblem('badRequest', `Cannot answer: a message of kind ${kind} is for nobody here`);
  }
}

/** Whether a message of this kind goes on with a transaction. */
function goesOn(kind: BodyKind): boolean {
  return kind === 'certConf' || kind === 'pollReq';
}

/** What it began under a secret a device goes on with, whatever became of it but that it was taken back; one that is used up may still revoke what it bought, as long as it lasts. */
async function findUseFault(
  { database }: Pick<CmpDeps, 'database'>,
  { grant, kind }: { readonly grant: DoorGrant; readonly kind: BodyKind },
  now: Instant,
): Promise<string | null> {
  if (grant.revokedAt !== null) return 'revoked';
  if (goesOn(kind)) return null;
  if (kind === 'rr') return grant.expiresAt <= now ? 'expired' : null;
  return findGrantFault(database.queries, grant, now);
}

/** A profile may be named by the path (RFC 9811 section 3.4) and in the header (RFC 9483 section 3.1). It chooses nothing: who sends it has one. */
function demandProfile({ info }: CheckedHeader, sender: Sender, ofPath: string | null): void {
  const own = sender.kind === 'secret' ? boundsOf(sender.grant).profile : sender.record.profile;
  const item = info.find(({ type }) => type === cmpOids.certProfile);
  const named = [...(ofPath === null ? [] : [ofPath]), ...(item?.value == null ? [] : readCertProfiles(item.value))];
  const other = named.find((name) => name !== own);
  if (other !== undefined) throw new CmpProblem('badRequest', `Cannot answer: profile ${other.slice(0, 100)} is named, expected ${own}`);
}
