import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { listAuthorities } from '../../control/ca/authority-store.ts';
import { type CertificateRecord, findCertificatesBySerial, foreignDoors } from '../../control/ca/certificate-store.ts';
import { listLintFindings } from '../../control/ca/lint-store.ts';
import { requestCertificate, type Requested } from '../../control/ca/request-certificate.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { planRevocations, revokeCertificates } from '../../control/ca/revoke-certificates.ts';
import { renewalOf } from '../../control/ca/renew-certificate.ts';
import type { CertificateSelection } from '../../control/ca/search-certificates.ts';
import { readTrustBundle } from '../../control/ca/trust-bundle.ts';
import { planForeignRevocations, requestForeignRevocations } from '../../control/external/request-revocations.ts';
import { requestForeignRevocation } from '../../control/external/request-revocation.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import { askerOf, grantedAsker } from '../../control/ca/asker-of.ts';
import type { certificateRoutes } from './certificate-routes.ts';
import { accepted, type Answer, created, type Handlers, items, json } from './handler.ts';
import { criteriaOf, identityOfService } from './certificate-criteria.ts';
import { listIssued } from './list-issued.ts';
import { readCsr } from './read-csr.ts';
import { withFindings } from './show-foreign.ts';
import { showRequest } from './serve-requests.ts';
import { showCertificate, showIssued } from './show-certificate.ts';

export type CertificateDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  readonly region: string;
  /** Told when the revoked set changed. */
  readonly authorityChanged: Signal;
  /** Told when another CA is to be asked. */
  readonly externalChanged: Signal;
};

export function certificateHandlers(deps: CertificateDeps): Pick<Handlers, keyof typeof certificateRoutes> {
  const { database, authorityChanged } = deps;
  const { queries } = database;
  const find = async (serial: string, issuer: string | undefined, demand: (environment: string) => void): Promise<CertificateRecord> => {
    const all = await findCertificatesBySerial(queries, Buffer.from(serial, 'hex'));
    const found = all.filter(({ issuerId }) => issuer === undefined || issuerId === issuer);
    if (found.length > 1)
      throw new Problem('state-conflict', 'Cannot find certificate: two issuers gave this serial, expected issuer to be named');
    if (found[0] === undefined) throw new Problem('not-found', 'Cannot find certificate: no issuer gave this serial');
    demand(found[0].environment);
    return found[0];
  };
  const answerRequested = (requested: Requested, now: number): Answer =>
    requested.kind === 'issued'
      ? created(showIssued(requested.certificate))
      : accepted({ request: showRequest(deps.authorities, requested.request, now) });
  return {
    'list-certificates': (call) => listIssued(deps, call),
    'issue-certificate': async ({ body, environment, principal, actor, now }) => {
      const { profile, spiffeId, dnsNames = [], ipAddresses = [], lifetimeMs } = body;
      const names = { dns: dnsNames, ip: ipAddresses };
      const identity = spiffeId === undefined ? null : parseSpiffeId(spiffeId);
      const csr = readCsr(body.csr);
      const wanted = { door: 'rest', profile, environment, spiffeId: identity, dnsNames, ipAddresses } as const;
      const requested = await requestCertificate(
        deps,
        {
          door: 'rest',
          ...grantedAsker(principal, wanted, csr.spkiSha256, now),
          proxyId: null,
          environment,
          region: deps.region,
          actor,
          profile,
          csr,
          spiffeId: identity,
          names,
          ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
        },
        principal.tokenId,
        now,
      );
      return answerRequested(requested, now);
    },
    'show-certificate': async ({ params, query, demand }) => {
      const record = await find(params.serial, query.issuer, demand);
      const pem = record.der === null ? null : encodePem('CERTIFICATE', record.der);
      const [shown] = await withFindings(queries, [record]);
      return json({ ...shown, pem, findings: await listLintFindings(queries, record) });
    },
    'renew-certificate': async ({ params, body, demand, principal, actor, now }) => {
      const held = await find(params.serial, body.issuer, demand);
      // A data plane renews by itself, on the connection that proves its key; here nobody could tell whose key this is.
      if (held.proxyId !== null)
        throw new Problem('state-conflict', 'Cannot renew certificate: a data plane renews its own, expected a certificate issued by REST');
      const { issuerKeySha256, serial } = held;
      const by = { kind: 'token', asker: askerOf(principal), actor } as const;
      const request = { predecessor: { issuerKeySha256, serial }, csr: readCsr(body.csr), by };
      return answerRequested(await requestCertificate(deps, await renewalOf(queries, request), principal.tokenId, now), now);
    },
    'revoke-certificate': async ({ params, body, demand, actor, now }) => {
      const { issuerKeySha256, serial, door } = await find(params.serial, body.issuer, demand);
      const revocation = { issuerKeySha256, serial, reason: body.reason ?? 'unspecified' } as const;
      if (foreignDoors.includes(door)) {
        const { status } = await requestForeignRevocation({ database, changed: deps.externalChanged }, revocation, actor, now);
        return accepted({ serial: params.serial, status });
      }
      return json({ serial: params.serial, ...(await revokeCertificate({ database, changed: authorityChanged }, revocation, actor, now)) });
    },
    'revoke-certificates': async ({ body, scope, environment, actor, now }) => {
      const { from, until, reason = 'unspecified', dryRun = false } = body;
      const selection: CertificateSelection = {
        environments: scope,
        ...criteriaOf(body),
        ...identityOfService(deps.authorities.trustDomain, environment, body),
        ...(from === undefined ? {} : { from }),
        ...(until === undefined ? {} : { until }),
      };
      const graceMs = deps.authorities.profiles?.longestGraceMs() ?? 0;
      const { count, more, first } = await planRevocations(queries, selection, now - graceMs);
      const there = await planForeignRevocations(queries, { selection, reason }, now);
      const others = { count: there.count, more: there.more, items: there.first.map(showCertificate) };
      const plan = { count, more, items: first.map(showCertificate), others };
      if (dryRun) return json({ dryRun, ...plan, revoked: 0, asked: 0, left: count + there.count > 0, revokedSequence: null });
      const order = { selection, reason };
      const { revoked, left, revokedSequence } = await revokeCertificates(
        { database, changed: authorityChanged, graceMs },
        order,
        actor,
        now,
      );
      const round = await requestForeignRevocations({ database, changed: deps.externalChanged }, order, actor, now);
      return json({ dryRun, ...plan, revoked, asked: round.asked, left: left || round.left, revokedSequence });
    },
    'list-authorities': async () => {
      const authorities = await listAuthorities(queries);
      return items(
        authorities.map(({ id, kind, parentId, environment, region, spkiSha256, crlUrl, status, createdAt, notAfter, certificate }) => ({
          id,
          kind,
          parentId,
          environment,
          region,
          spkiSha256,
          crlUrl,
          status,
          createdAt,
          notAfter,
          pem: encodePem('CERTIFICATE', certificate),
        })),
      );
    },
    'read-trust-bundle': async () => {
      const roots = ((await readTrustBundle(queries))?.authorities ?? []).filter(({ role }) => role === 'root');
      const pem = roots.map(({ certificate }) => encodePem('CERTIFICATE', certificate)).join('');
      return { kind: 'octets', contentType: 'application/x-pem-file', octets: pem };
    },
  };
}
