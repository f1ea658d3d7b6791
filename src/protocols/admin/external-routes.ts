import { Type } from 'typebox';
import type { RouteTable } from './route.ts';
import { idOf, inEnvironment, label, line, name, profileName, serial, strict, words } from './schemas.ts';

const pem = Type.String({ minLength: 1, maxLength: 262_144 });
const url = Type.String({ minLength: 1, maxLength: 2_000 });
const dnsUpdate = Type.Object(
  {
    host: Type.String({ minLength: 1, maxLength: 253 }),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    zones: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), { minItems: 1, maxItems: 100 }),
    keyName: Type.String({ minLength: 1, maxLength: 253 }),
    algorithm: Type.Optional(words(['hmac-sha256', 'hmac-sha384', 'hmac-sha512'])),
    settleSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 60 })),
  },
  strict,
);
const endpoint = Type.Optional(name);

/** Authorities of others, what is ordered there, and certificates of theirs. */
export const externalRoutes = {
  'declare-external-authority': {
    method: 'POST',
    path: '/v1/external-authorities',
    summary: 'Declare a CA of others that is asked by ACME, or change it; secrets are kept encrypted and shown to nobody.',
    role: 'admin',
    scope: 'one',
    bodyLimit: 1_048_576,
    body: Type.Object(
      {
        environment: Type.Optional(label),
        name,
        directoryUrl: url,
        anchorsPem: Type.Optional(pem),
        rootsPem: Type.Optional(pem),
        contacts: Type.Optional(Type.Array(Type.String({ maxLength: 254, pattern: '^[^@\\s]+@[^@\\s]+$' }), { maxItems: 5 })),
        allowedNames: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), { minItems: 1, maxItems: 1_000 }),
        judgedBy: Type.Optional(Type.Array(profileName, { minItems: 1, maxItems: 50, uniqueItems: true })),
        challenge: words(['http-01', 'dns-01']),
        webhook: Type.Optional(Type.Object({ url, anchorsPem: Type.Optional(pem) }, strict)),
        webhookToken: Type.Optional(line),
        dnsUpdate: Type.Optional(dnsUpdate),
        dnsKey: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
        bindingKeyId: Type.Optional(line),
        bindingKey: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
        profile: Type.Optional(line),
        preferredChain: Type.Optional(line),
      },
      strict,
    ),
  },
  'list-external-authorities': {
    method: 'GET',
    path: '/v1/external-authorities',
    summary: 'List the CAs of others that may be asked.',
    role: 'viewer',
    scope: 'listed',
    query: inEnvironment,
  },
  'create-external-order': {
    method: 'POST',
    path: '/v1/external-orders',
    summary:
      'Have another CA asked for the names of a CSR, under a profile; the order says when it is there, or a request who has to approve first. `renews` names what it takes the place of.',
    role: 'ci',
    machines: true,
    scope: 'one',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        authority: name,
        profile: Type.Optional(profileName),
        csr: Type.String({ minLength: 1, maxLength: 32_768 }),
        endpoint,
        renews: Type.Optional(serial),
      },
      strict,
    ),
  },
  'list-external-orders': {
    method: 'GET',
    path: '/v1/external-orders',
    summary: 'List the newest orders at other CAs.',
    role: 'viewer',
    scope: 'listed',
    query: inEnvironment,
  },
  'show-external-order': {
    method: 'GET',
    path: '/v1/external-orders/:orderId',
    summary: 'Show one order: how far it is, and the chain of the newest certificate that came of it.',
    role: 'ci',
    machines: true,
    scope: 'record',
    params: Type.Object({ orderId: idOf('order') }),
  },
  'import-certificate': {
    method: 'POST',
    path: '/v1/external-certificates',
    summary: 'Take a certificate of another CA into the inventory, to be watched: its end, its status, and whether an endpoint serves it.',
    role: 'operator',
    scope: 'one',
    bodyLimit: 1_048_576,
    body: Type.Object({ environment: Type.Optional(label), pem, rootsPem: Type.Optional(pem), endpoint }, strict),
  },
} as const satisfies RouteTable;
