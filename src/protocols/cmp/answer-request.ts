import type { IssuanceRequest, IssuedCertificate } from '../../control/ca/issuance-request.ts';
import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import { findProfile } from '../../control/ca/prepare-certificate.ts';
import { renewalOf } from '../../control/ca/renew-certificate.ts';
import { requestCertificate } from '../../control/ca/request-certificate.ts';
import { findFallen } from '../../control/ca/standing.ts';
import { cmpOids } from '../../core/cmp/cmp-oids.ts';
import type { PkiMessage } from '../../core/cmp/pki-message.ts';
import { certificateResponseNode } from '../../core/cmp/write-bodies.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { equalOctets } from '../../core/x509/der.ts';
import { sameName } from '../../core/x509/name.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CmpAnswer } from './answer.ts';
import { certificateAnswer } from './certificate-answer.ts';
import type { CheckedHeader } from './check-header.ts';
import type { CmpDeps } from './deps.ts';
import { logRefusal } from './log-refusal.ts';
import { orderOf } from './order-of.ts';
import { CmpProblem, toCmpProblem } from './problems.ts';
import { type AskingKind, type CertificateAsked, certificateAnswers, readAsked } from './read-request.ts';
import type { Sender } from './sender.ts';
import { type CmpTransaction, findTransaction, insertTransaction, rememberedUntil, waitingUntil } from './transaction-store.ts';

export type RequestDeps = Pick<CmpDeps, 'database' | 'authorities' | 'confirmWithinMs' | 'refusals' | 'log'>;

/** A message whose sender is known, with the nonce of the answer to it. */
export type Call = { readonly message: PkiMessage; readonly header: CheckedHeader; readonly sender: Sender; readonly nonce: Uint8Array };

/** Answers an ir, cr, p10cr or kur (RFC 9483 section 4.1) by the one door. What is refused is answered in the body that answers it. */
export async function answerRequest(deps: RequestDeps, kind: AskingKind, call: Call, now: Instant): Promise<CmpAnswer> {
  let requestNumber = kind === 'p10cr' ? -1 : 0;
  try {
    const asked = readAsked(kind, call.message);
    requestNumber = asked.requestNumber;
    return await issueAsked(deps, { asked, kind, call }, now);
  } catch (error) {
    const problem = toCmpProblem(error);
    if (problem.failure === 'systemFailure' || problem.failure === 'badDataFormat') throw problem;
    deps.log('warn', 'cmp.refused', { sender: call.sender.name, failure: problem.failure, reason: problem.message });
    await logRefusal(deps, { body: kind, problem, sender: call.sender }, now);
    const status = { status: 'rejection', failure: problem.failure } as const;
    return { kind: certificateAnswers[kind], content: certificateResponseNode({ requestId: requestNumber, status }) };
  }
}

async function issueAsked(
  deps: RequestDeps,
  { asked, kind, call }: { readonly asked: CertificateAsked; readonly kind: AskingKind; readonly call: Call },
  now: Instant,
): Promise<CmpAnswer> {
  demandIssuer(deps, asked);
  const implicitConfirm = call.header.info.some(({ type }) => type === cmpOids.implicitConfirm);
  const transaction = transactionOf(call, asked, implicitConfirm);
  if ((await findTransaction(deps.database.queries, transaction)) !== null) throw inUse();
  const request = await requestOf(deps, { asked, kind, call }, now);
  const requested = await requestCertificate(
    deps,
    {
      ...request,
      // What goes on is remembered in the commit that begins it, so that no crash forgets to revoke what nobody confirmed.
      filed: ({ queries }, { id, expiresAt }) =>
        begin(queries, { ...transaction, deadline: waitingUntil(expiresAt), state: { kind: 'waiting', requestId: id } }),
      settle: ({ queries }, certificate) =>
        begin(queries, {
          ...transaction,
          ...(implicitConfirm
            ? { deadline: rememberedUntil(now), state: { kind: 'done' } }
            : { deadline: now + deps.confirmWithinMs, state: { kind: 'issued', certificate } }),
        }),
    },
    // What waits falls with the token of who made the secret, who cannot approve of it.
    call.sender.kind === 'secret' ? (call.sender.grant.maker?.tokenId ?? null) : null,
    now,
  );
  if (requested.kind === 'issued') return issuedAnswer(deps, { asked, call, implicitConfirm, issued: requested.certificate }, now);
  return { kind: asked.answer, content: certificateResponseNode({ requestId: asked.requestNumber, status: { status: 'waiting' } }) };
}

/** @throws CmpProblem if the sender has one of this id */
async function begin(queries: Queries, transaction: CmpTransaction): Promise<void> {
  if (!(await insertTransaction(queries, transaction))) throw inUse();
}

function inUse(): CmpProblem {
  return new CmpProblem('transactionIdInUse', 'Cannot issue certificate: a request of this transaction ID was answered');
}

function issuedAnswer(
  deps: RequestDeps,
  {
    asked,
    call,
    implicitConfirm,
    issued,
  }: { readonly asked: CertificateAsked; readonly call: Call; readonly implicitConfirm: boolean; readonly issued: IssuedCertificate },
  now: Instant,
): CmpAnswer {
  const certificate = parseCertificate(issued.der);
  return certificateAnswer(
    {
      answer: asked.answer,
      requestNumber: asked.requestNumber,
      certificate,
      chain: issued.chain.slice(1),
      asked: asked.csr,
      // RFC 9810 section 5.3.2: a root may come this way to whoever can tell from the MAC that it is ours.
      roots: call.sender.kind === 'secret' ? deps.authorities.roots.map(({ der }) => der) : [],
    },
    implicitConfirm ? { kind: 'implicit' } : { kind: 'until', at: now + deps.confirmWithinMs },
  );
}

function transactionOf(
  { header, sender, nonce }: Call,
  { answer, requestNumber }: CertificateAsked,
  implicitConfirm: boolean,
): Omit<CmpTransaction, 'state' | 'deadline'> {
  const { environment, region } = sender.kind === 'secret' ? sender.grant : sender.record;
  const transactionId = Buffer.from(header.transactionId).toString('hex');
  return { transactionId, sender: sender.name, environment, region, nonce, answer, requestNumber, implicitConfirm };
}

async function requestOf(
  deps: RequestDeps,
  { asked, kind, call }: { readonly asked: CertificateAsked; readonly kind: AskingKind; readonly call: Call },
  now: Instant,
): Promise<IssuanceRequest> {
  const { sender } = call;
  if (sender.kind === 'secret') {
    if (kind === 'kur')
      throw new CmpProblem(
        'wrongIntegrity',
        'Cannot update certificate: protected by a secret, expected the signature of the old certificate',
      );
    return orderOf({ sender, asked, transactionId: call.header.transactionId }, now);
  }
  return renewalBy(deps, { asked, sender }, now);
}

/** Whoever signs by a certificate of ours may have a successor of it, whatever body asks for it: same names, same profile. @throws issuance-refused */
async function renewalBy(
  { database, authorities }: RequestDeps,
  { asked, sender }: { readonly asked: CertificateAsked; readonly sender: Sender & { readonly kind: 'certificate' } },
  now: Instant,
): Promise<IssuanceRequest> {
  const { record } = sender;
  const { oldCertificate, csr } = asked;
  const isOther =
    oldCertificate !== null &&
    !(
      equalOctets(oldCertificate.serial, record.serial) &&
      oldCertificate.issuer !== null &&
      sameName(oldCertificate.issuer, parseCertificate(record.der!).issuer)
    );
  if (isOther) throw new CmpProblem('badCertId', 'Cannot update certificate: oldCertID names another one than signs');
  const request = await renewalOf(database.queries, { predecessor: record, csr, by: { kind: 'holder' }, note: { protocol: 'cmp' } });
  // Whoever holds a fallen certificate holds it for ever: no refusal of theirs makes an entry of its own, or they could fill the log.
  const graceMs = findProfile(authorities, request.environment, request.profile)?.renewalGraceMs ?? 0;
  const fallen = await findFallen(database.queries, { ...request, graceMs }, now);
  if (fallen.length > 0) {
    const { failure, message } = toCmpProblem(new IssuanceRefused(fallen));
    throw new CmpProblem(failure, message);
  }
  return { ...request, keyIdentifier: true };
}

function demandIssuer({ authorities }: RequestDeps, { issuer }: CertificateAsked): void {
  if (issuer === null || authorities.issuing.some(({ certificate }) => sameName(certificate.subject, issuer))) return;
  throw new CmpProblem('wrongAuthority', `Cannot issue certificate: it is asked of ${issuer.text.slice(0, 200)}`);
}
