import { Type } from 'typebox';
import { revocationReasons } from '../../control/ca/revocation-reason.ts';
import { doors } from '../../core/issuance/profile.ts';
import type { RouteTable } from './route.ts';
import {
  count,
  csrText,
  dnsNames,
  idOf,
  instant,
  ipAddresses,
  label,
  line,
  lifetimeMs,
  name,
  pageCursor,
  pageLimit,
  profileName,
  serial,
  spiffeId,
  strict,
  words,
} from './schemas.ts';

const params = Type.Object({ serial });

/** By what certificates are found, one by one or to be revoked together. */
const criteria = {
  identity: Type.Optional(spiffeId),
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 253, pattern: '^[A-Za-z0-9*.:-]+$' })),
  serial: Type.Optional(Type.String({ pattern: '^[0-9a-f]{6,42}$' })),
  key: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  profile: Type.Optional(profileName),
  door: Type.Optional(words(doors)),
  issuer: Type.Optional(idOf('authority')),
};
const reasons = words(revocationReasons);

/** Certificates and the authorities that sign them. */
export const certificateRoutes = {
  'list-certificates': {
    method: 'GET',
    path: '/v1/certificates',
    summary:
      'List what was issued and where it is served, newest first, a page at a time; with `endsBefore` what is in force, soonest end first.',
    role: 'viewer',
    scope: 'listed',
    query: Type.Object(
      {
        environment: Type.Optional(label),
        status: Type.Optional(words(['reserved', 'issued', 'withheld', 'abandoned', 'revoked'])),
        proxy: Type.Optional(idOf('proxy')),
        service: Type.Optional(name),
        asker: Type.Optional(line),
        served: Type.Optional(words(['yes', 'no'])),
        endsBefore: Type.Optional(count),
        ...criteria,
        from: Type.Optional(count),
        until: Type.Optional(count),
        limit: Type.Optional(pageLimit),
        before: Type.Optional(pageCursor),
      },
      strict,
    ),
  },
  'issue-certificate': {
    method: 'POST',
    path: '/v1/certificates',
    summary: 'Issue a certificate for a CSR; a token of a declared issuer (OIDC) is taken for what its rules grant.',
    role: 'ci',
    machines: true,
    scope: 'one',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        csr: csrText,
        profile: profileName,
        spiffeId: Type.Optional(spiffeId),
        dnsNames,
        ipAddresses,
        lifetimeMs,
      },
      strict,
    ),
  },
  'show-certificate': {
    method: 'GET',
    path: '/v1/certificates/:serial',
    summary: 'Show one certificate, with its PEM.',
    role: 'viewer',
    scope: 'record',
    params,
    query: Type.Object({ issuer: Type.Optional(idOf('authority')) }, strict),
  },
  'renew-certificate': {
    method: 'POST',
    path: '/v1/certificates/:serial/renewal',
    summary: 'Issue a successor with the same names for a new CSR.',
    role: 'ci',
    scope: 'record',
    params,
    body: Type.Object({ csr: csrText, issuer: Type.Optional(idOf('authority')) }, strict),
  },
  'revoke-certificate': {
    method: 'POST',
    path: '/v1/certificates/:serial/revocation',
    summary: 'Revoke a certificate; one of another CA is asked of that CA, which is answered by 202 before it has said so.',
    role: 'operator',
    scope: 'record',
    params,
    body: Type.Object(
      {
        issuer: Type.Optional(idOf('authority')),
        reason: Type.Optional(reasons),
      },
      strict,
    ),
  },
  'revoke-certificates': {
    method: 'POST',
    path: '/v1/revocations',
    summary:
      'Revoke all certificates that every criterion fits, a thousand a call, and ask other CAs to revoke theirs; `dryRun` says which and changes nothing.',
    role: 'operator',
    scope: 'listed',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        ...criteria,
        service: Type.Optional(name),
        from: Type.Optional(instant),
        until: Type.Optional(instant),
        reason: Type.Optional(reasons),
        dryRun: Type.Optional(Type.Boolean()),
      },
      strict,
    ),
  },
  'list-authorities': {
    method: 'GET',
    path: '/v1/authorities',
    summary: 'List the authorities that are trusted.',
    role: 'viewer',
    scope: 'none',
  },
  'read-trust-bundle': {
    method: 'GET',
    path: '/v1/trust-bundle.pem',
    summary: 'The roots, as PEM.',
    public: 'certificates of authorities are public; whoever needs them pins them by other means',
    scope: 'none',
  },
} as const satisfies RouteTable;
