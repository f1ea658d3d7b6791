import { answerFieldsOf, type CallRate, type HttpPolicy } from './http-policy.ts';
import type { Policy } from './policy.ts';
import type { ReplicaPolicy } from './replica-policy.ts';
import { tlsGroups } from './tls-parameters.ts';

/** What a policy means for callers and operators, one sentence each, without a final period. */
export function explainPolicy(policy: Policy): readonly string[] {
  const { tls, certificates } = policy;
  const postQuantum = tls.groups.filter((group) => tlsGroups[group].isPostQuantum);
  const versions =
    tls.minimumVersion === tls.maximumVersion
      ? `Only TLS ${tls.maximumVersion} is spoken`
      : `TLS ${tls.minimumVersion} to ${tls.maximumVersion} is spoken`;
  return [
    `${versions}; older versions are refused`,
    postQuantum.length === 0
      ? `Keys are agreed by ${tls.groups.join(', ')}: recorded traffic can be read by a later quantum computer`
      : `Keys are agreed by ${tls.groups.join(', ')}; ${postQuantum.join(', ')} protects recorded traffic against a later quantum computer`,
    tls.minimumVersion === '1.3'
      ? 'The TLS 1.2 suites are without effect'
      : `TLS 1.2 uses forward-secret authenticated suites only: ${tls.suites.join(', ')}`,
    `Certificates are renewed after ${percent(certificates.renewAtPermille.critical)} of their life on critical and ` +
      `${percent(certificates.renewAtPermille.standard)} on standard endpoints`,
    `Renewals that one order asks for are spread over ${certificates.renewalSmearMs} ms`,
    ...explainHttp(policy.http),
    `An endpoint has up to ${policy.limits.connections} connections, one address up to ${policy.limits.handshakesPerAddress} that are not admitted yet`,
    ...explainReplicas(policy.replicas),
    `Connections of a weaker mode are closed within ${policy.drainMs} ms after a mode rose`,
    `Proxies report every ${policy.telemetryIntervalMs} ms`,
  ];
}

function explainHttp(http: HttpPolicy): readonly string[] {
  const fields = answerFieldsOf(http).map(([name, value]) => `${name}: ${value}`);
  return [
    ...(http.boundTokens === null
      ? []
      : [
          `Every call carries an access token of ${http.boundTokens.issuer} that is bound to its caller's certificate`,
          ...(http.boundTokens.published === null ? [] : [`That issuer's keys are fetched from ${http.boundTokens.published.uri}`]),
        ]),
    ...explainRate('One caller', http.rates.caller),
    ...explainRate('All callers together', http.rates.endpoint),
    ...(http.maximumBodyOctets === null ? [] : [`A call whose body is longer than ${http.maximumBodyOctets} octets is refused with 413`]),
    ...(http.hostMatchesSni ? ['A call for another host than the connection was opened for is refused with 421'] : []),
    ...(fields.length === 0 ? [] : [`Answers on TLS carry ${fields.join(', ')}, whatever the service sent of these`]),
    http.identityFields.length === 0
      ? 'The service is not told who its proved caller is'
      : `The service is told its proved caller by ${http.identityFields.join(', ')}`,
  ];
}

function explainRate(who: string, rate: CallRate | null): readonly string[] {
  return rate === null ? [] : [`${who} may make ${rate.perSecond} calls a second, ${rate.burst} at once; the rest are answered with 429`];
}

function explainReplicas({ retries, ejection, healthCheck }: ReplicaPolicy): readonly string[] {
  return [
    retries === null
      ? 'No call is sent again'
      : `Calls that may be sent again without harm are, up to ${retries.percent} % of all and ${retries.minimumPerSecond} a second`,
    ...(ejection === null
      ? []
      : [
          `A replica that fails ${ejection.failures} times in a row is not called for ${ejection.baseMs} ms and longer, ` +
            `never more than ${ejection.maximumPercent} % of them`,
        ]),
    ...(healthCheck === null ? [] : [`Every caller asks each replica every ${healthCheck.intervalMs} ms how it is`]),
  ];
}

function percent(permille: number): string {
  return `${permille / 10} %`;
}
