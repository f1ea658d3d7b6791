import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { csrText, strict } from './schemas.ts';

/** What a workload may ask that has its certificate and nothing else. */
export const renewalRoutes = {
  'renew-by-certificate': {
    method: 'POST',
    path: '/v1/certificate-renewals',
    summary:
      'Issue the successor of the client certificate of this connection, for a new CSR; past its end within the grace of its profile.',
    public: 'the client certificate of the connection is the credential, and the handshake proves its key',
    scope: 'none',
    body: Type.Object({ csr: csrText }, strict),
  },
} as const satisfies RouteTable;
