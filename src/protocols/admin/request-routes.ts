import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { idOf, label, pageLimit, reason, strict, words } from './schemas.ts';

const params = Type.Object({ requestId: idOf('request') });

/** Requests for certificates that persons have to approve of first. Which role may, the profile says. */
export const requestRoutes = {
  'list-issuance-requests': {
    method: 'GET',
    path: '/v1/issuance-requests',
    summary: 'List requests that wait for approval, or with `status=all` those that ended too, newest first.',
    role: 'viewer',
    scope: 'listed',
    query: Type.Object(
      {
        environment: Type.Optional(label),
        status: Type.Optional(words(['open', 'all'])),
        limit: Type.Optional(pageLimit),
        before: Type.Optional(idOf('request')),
      },
      strict,
    ),
  },
  'show-issuance-request': {
    method: 'GET',
    path: '/v1/issuance-requests/:requestId',
    summary: 'Show what became of a request, with the PEM once it is issued; a pipeline sees its own.',
    role: 'ci',
    machines: true,
    scope: 'record',
    params,
  },
  'approve-issuance-request': {
    method: 'POST',
    path: '/v1/issuance-requests/:requestId/approval',
    summary: "Approve of a request, as another person than who asked, with the profile's role; the last one needed issues it.",
    role: 'viewer',
    scope: 'record',
    params,
    body: Type.Object({}, strict),
  },
  'deny-issuance-request': {
    method: 'POST',
    path: '/v1/issuance-requests/:requestId/denial',
    summary: "Deny a request, with the profile's role.",
    role: 'viewer',
    scope: 'record',
    params,
    body: Type.Object({ reason: Type.Optional(reason) }, strict),
  },
} as const satisfies RouteTable;
