import { Type } from 'typebox';
import { declaredDoors } from '../../core/issuance/profile-spec.ts';
import type { RouteTable } from './route.ts';
import {
  csrText,
  dnsNames,
  ipAddresses,
  label,
  lifetimeMs,
  line,
  name,
  pageCursor,
  profileName,
  spiffeId,
  strict,
  words,
} from './schemas.ts';

/** YAML documents of `kind: Profile`, tried over what is in force. */
const text = Type.Optional(Type.String({ maxLength: 262_144 }));
/** JSON may write an octet as six. */
const TEXT_LIMIT = 6 * 262_144 + 65_536;

/** What the evaluator says, without anything being issued. */
export const issuanceRoutes = {
  'explain-issuance': {
    method: 'POST',
    path: '/v1/issuance/explanations',
    summary:
      'Say what every rule makes of a request, under the profiles in force or those of `text`; with the door `external`, of an order at `authority`. Nothing is issued, reserved or logged.',
    role: 'viewer',
    scope: 'one',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        profile: profileName,
        door: words(declaredDoors),
        authority: Type.Optional(name),
        asker: Type.Optional(
          Type.Object(
            {
              role: words(['admin', 'operator', 'partner-manager', 'ci', 'data-plane', 'acme-account', 'holder', 'control-plane']),
              name: Type.Optional(line),
            },
            strict,
          ),
        ),
        csr: Type.Optional(csrText),
        spiffeId: Type.Optional(spiffeId),
        dnsNames,
        ipAddresses,
        lifetimeMs,
        text,
      },
      strict,
    ),
    bodyLimit: TEXT_LIMIT,
  },
  'replay-issuances': {
    method: 'POST',
    path: '/v1/issuance/replays',
    summary:
      'Say what issued certificates, newest first, would have got under the profiles of `text`, a page at a time; nothing is changed.',
    role: 'viewer',
    scope: 'listed',
    body: Type.Object(
      {
        environment: Type.Optional(label),
        profile: Type.Optional(profileName),
        text,
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
        before: Type.Optional(pageCursor),
      },
      strict,
    ),
    bodyLimit: TEXT_LIMIT,
  },
} as const satisfies RouteTable;
