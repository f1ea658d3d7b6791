import type { Authorities } from '../../control/ca/authorities.ts';
import { findCertificate } from '../../control/ca/certificate-store.ts';
import type { FinishDeps } from '../../control/ca/finish-request.ts';
import { approveRequest, denyRequest } from '../../control/ca/judge-request.ts';
import { demandOf, standingApprovers, type WaitingRequest } from '../../control/ca/waiting-request.ts';
import { findWaiting, listWaiting } from '../../control/ca/waiting-store.ts';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { type Asked, type Handlers, json } from './handler.ts';
import type { requestRoutes } from './request-routes.ts';

export type RequestDeps = FinishDeps;

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
  const { id, environment, region, profile, content, digest, asker, requestedAt, expiresAt, settledAt, certificate, orderId, reason } =
    request;
  const { door, spiffeId, names, lifetimeMs = null, external } = content;
  const status = request.status === 'waiting' && expiresAt <= now ? 'expired' : request.status;
  const demand = demandOf(authorities, request);
  // While it waits: those whose yes counts.
  const approvers = settledAt === null ? standingApprovers(request, demand) : request.approvers.map(({ name }) => name);
  const serial = certificate === null ? null : Buffer.from(certificate.serial).toString('hex');
  const asked = {
    id,
    environment,
    region,
    door,
    authority: external?.authority ?? null,
    profile,
    spiffeId,
    names,
    lifetimeMs,
    digest,
    asker,
    requestedAt,
    expiresAt,
  };
  return { ...asked, status, approvers, approvals: { needed: demand.count, role: demand.role }, settledAt, serial, orderId, reason };
}
