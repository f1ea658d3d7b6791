import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { findCertificate } from '../../control/ca/certificate-store.ts';
import { approveRequest, denyRequest } from '../../control/ca/judge-request.ts';
import { demandOf, type WaitingRequest } from '../../control/ca/waiting-request.ts';
import { findWaiting, listWaiting } from '../../control/ca/waiting-store.ts';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { type Asked, type Handlers, json } from './handler.ts';
import type { requestRoutes } from './request-routes.ts';

export type RequestDeps = { readonly database: AuditedDatabase; readonly authorities: Authorities };

export function requestHandlers(deps: RequestDeps): Pick<Handlers, keyof typeof requestRoutes> {
  const { database, authorities } = deps;
  const { queries } = database;
  const find = async (id: string, { demand }: Asked): Promise<WaitingRequest> => {
    const request = await findWaiting(queries, id);
    if (request === null) throw new Problem('not-found', 'Cannot find request: there is none of this id');
    demand(request.environment);
    return request;
  };
  return {
    'list-issuance-requests': async ({ query, scope, now }) => {
      const { status = 'open', limit, before } = query;
      const size = Number(limit ?? 100);
      const filter = { environments: scope, openOnly: status === 'open', limit: size + 1, ...(before === undefined ? {} : { before }) };
      const found = await listWaiting(queries, filter);
      const page = found.slice(0, size).map((request) => showRequest(authorities, request, now));
      return json({ items: page, next: found.length > size ? found[size - 1]!.id : null });
    },
    'show-issuance-request': async (call) => {
      const request = await find(call.params.requestId, call);
      const { principal } = call;
      // Pipelines share a role: one learns nothing of the others.
      if (principal.role === 'ci' && principal.name !== request.asker)
        throw new Problem('not-found', 'Cannot find request: there is none of this id');
      const { certificate } = request;
      const held = certificate && (await findCertificate(queries, certificate.issuerKeySha256, certificate.serial));
      const chain = held && [held.der, ...(authorities.issuing.find(({ id }) => id === held.issuerId)?.chain ?? [])];
      const pem = chain === null ? null : chain.map((der) => (der === null ? '' : encodePem('CERTIFICATE', der))).join('');
      return json({ ...showRequest(authorities, request, call.now), pem });
    },
    'approve-issuance-request': async (call) => {
      await find(call.params.requestId, call);
      const { principal, actor, now, params } = call;
      return json(showRequest(authorities, await approveRequest(deps, { id: params.requestId, principal, actor }, now), now));
    },
    'deny-issuance-request': async (call) => {
      await find(call.params.requestId, call);
      const { principal, actor, now, params, body } = call;
      const denial = { id: params.requestId, principal, actor, reason: body.reason ?? '' };
      return json(showRequest(authorities, await denyRequest(deps, denial, now), now));
    },
  };
}

/** A request as it is told, without its octets. */
export function showRequest(authorities: Authorities, request: WaitingRequest, now: number): { readonly [name: string]: unknown } {
  const { id, environment, region, profile, content, digest, asker, requestedAt, expiresAt, settledAt, certificate, reason, approvers } =
    request;
  const { spiffeId, names, lifetimeMs = null } = content;
  const status = request.status === 'waiting' && expiresAt <= now ? 'expired' : request.status;
  const { count, role } = demandOf(authorities, request);
  const serial = certificate === null ? null : Buffer.from(certificate.serial).toString('hex');
  const asked = { id, environment, region, profile, spiffeId, names, lifetimeMs, digest, asker, requestedAt, expiresAt };
  return { ...asked, status, approvers, approvals: { needed: count, role }, settledAt, serial, reason };
}
