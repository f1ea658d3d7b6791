import { MachineTokenRefused } from '../../control/access/machine-token-refused.ts';
import { claimMachineToken, type Machine } from '../../control/access/machine-tokens.ts';
import type { ProxyRecord } from '../../control/inventory/record.ts';
import { listDeclaredProxies } from '../../control/inventory/store.ts';
import { profileForJoin } from '../../core/issuance/profile.ts';
import type { RuleGrant } from '../../core/oidc/identity-provider.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { Joiner, JoinerDeps } from './joiner.ts';

/**
 * The declared data plane that the bearer of a machine's token may join as, by the first rule that opens the door `join` to one. A rule names
 * the data plane, or it is the only one of the rule's SPIFFE ID. The scanner joins by a join token alone.
 * @throws MachineTokenRefused, csr-malformed
 */
export async function machineJoiner(
  { queries, machineTokens }: JoinerDeps,
  { token, csr }: { readonly token: string; readonly csr: Uint8Array },
  now: Instant,
): Promise<Joiner> {
  if (machineTokens === null) throw new MachineTokenRefused('no-rule', 'no issuer is taken here');
  const machine = await machineTokens.authenticate(token, now);
  const found = await chooseProxy(queries, machine);
  if (found.kind === 'none') {
    const refusal = new MachineTokenRefused('no-rule', found.because);
    await machineTokens.refused(refusal, now);
    throw refusal;
  }
  const { proxy, grant } = found;
  const { spkiSha256: csrSpkiSha256 } = parseCertificateRequest(csr);
  const { id: proxyId, name: proxyName, spiffeId, role, environment, region } = proxy;
  const { asker, actor } = dataPlaneAsker(spiffeId, environment, 'data-plane');
  return {
    proxy: { proxyId, proxyName, spiffeId, role, environment, region },
    asker: { asker: { ...asker, grant }, actor },
    async claim(unit) {
      await claimMachineToken(unit, { machine, grant, csrSpkiSha256, maximumUses: MAXIMUM_USES }, now);
    },
    note: { grant: grant.source, tokenDigest: machine.digest },
  };
}

type Choice =
  | { readonly kind: 'proxy'; readonly proxy: ProxyRecord; readonly grant: RuleGrant }
  | { readonly kind: 'none'; readonly because: string };

async function chooseProxy(queries: Queries, { grants, name }: Machine): Promise<Choice> {
  const against: string[] = [];
  for (const grant of grants) {
    if (!grant.doors.includes('join') || !grant.profiles.includes(profileForJoin('data-plane'))) {
      against.push(`${grant.source} does not open the door join`);
      continue;
    }
    const declared = await listDeclaredProxies(queries, [grant.environment]);
    const fitting = declared.filter(
      (proxy) => proxy.role !== 'scanner' && proxy.spiffeId === grant.spiffeId && (grant.proxy === null || proxy.name === grant.proxy),
    );
    const [proxy] = fitting;
    if (proxy !== undefined && fitting.length === 1) return { kind: 'proxy', proxy, grant };
    against.push(
      `${grant.source}: ${fitting.length} declared data planes are ${grant.spiffeId}${grant.proxy === null ? '' : ` by the name ${grant.proxy}`}, expected one`,
    );
  }
  return { kind: 'none', because: `${name}: ${against.join('; ')}` };
}

/** Retries of one key after lost answers; each is a certificate, so they are few. */
const MAXIMUM_USES = 5;
