import type { Instant } from '../time/instant.ts';
import { type Finding, makeFinding } from './finding.ts';
import { judgeAnswers } from './judge-answers.ts';
import { judgeProtocol } from './judge-protocol.ts';
import { judgeServedChain } from './judge-served-chain.ts';
import type { ClientCertificateDemand, PlaintextAnswer, Posture } from './posture.ts';
import type { PostureDemands } from './posture-demands.ts';
import { severities } from './posture-rules.ts';

/** Holds what a scan saw against the policy: the findings, the worst first. What could not be reached is no posture to judge. */
export function judgePosture(
  now: Instant,
  posture: Exclude<Posture, { kind: 'unreachable' }>,
  demands: PostureDemands,
): readonly Finding[] {
  if (posture.kind === 'no-tls') {
    const { plaintext } = posture;
    return [makeFinding('no-tls', plaintext === null ? 'nothing that is TLS, and no HTTP' : `in the clear: ${plaintext.statusLine}`)];
  }
  const findings = [
    ...judgePlaintext(posture.plaintext),
    ...judgeProtocol(posture, demands.policy),
    ...judgeDemand(posture.clientCertificate, demands.clientCertificate),
    ...(posture.chains.length === 0
      ? [makeFinding('certificate-malformed', 'no certificate was served')]
      : posture.chains.flatMap((chain) => judgeServedChain(now, chain, demands))),
    ...(posture.http === null ? [] : judgeAnswers(posture.http, demands.policy.http)),
  ];
  return distinct(findings).toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
}

/** A server that says no in the clear, or sends to https, gives nothing away; the caller's mistake stays seen. */
function judgePlaintext(plaintext: PlaintextAnswer | null): readonly Finding[] {
  if (plaintext === null) return [];
  const { statusLine, location } = plaintext;
  const isRefusal = /^HTTP\/1\.[01] 4(?:00|03|21|26|97)\b/.test(statusLine);
  const isRedirect = /^HTTP\/1\.[01] 3\d\d/.test(statusLine) && location?.toLowerCase().startsWith('https://') === true;
  return isRefusal || isRedirect ? [] : [makeFinding('plaintext', `in the clear: ${statusLine}`)];
}

function judgeDemand({ kind, evidence }: ClientCertificateDemand, wanted: PostureDemands['clientCertificate']): readonly Finding[] {
  if (wanted === null) return [];
  if (wanted === 'not-required') return kind === 'required' ? [makeFinding('client-certificate-required', evidence)] : [];
  if (kind === 'required') return [];
  return [makeFinding(kind === 'unknown' ? 'client-certificate-unproven' : 'client-certificate-missing', evidence)];
}

/** Two chains of one endpoint can share a fault. */
function distinct(findings: readonly Finding[]): readonly Finding[] {
  return [...new Map(findings.map((finding) => [`${finding.rule} ${finding.evidence}`, finding])).values()];
}
