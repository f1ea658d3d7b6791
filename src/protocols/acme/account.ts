import type { Role } from '../../control/access/role.ts';
import type { Actor } from '../../control/audit/entry.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { AcmeProblem, malformed } from './problems.ts';
import type { AcmeUrls } from './urls.ts';

/** An account (RFC 8555 section 7.1.2). `deactivated` by its holder, `revoked` by us; neither comes back. */
export type Account = {
  readonly id: EntityId<'account'>;
  readonly environment: string;
  readonly region: string;
  readonly jwk: { readonly [name: string]: string };
  readonly thumbprint: string;
  readonly contacts: readonly string[];
  readonly status: 'valid' | 'deactivated' | 'revoked';
  /** The URL of the terms that were agreed to. */
  readonly terms: string | null;
  /** What bound it to somebody known here: the binding as it was sent, the token used, and the role that this one gives. */
  readonly binding: { readonly jws: unknown; readonly tokenId: EntityId<'token'>; readonly role: Role } | null;
  readonly createdAt: Instant;
};

/** The account as its holder sees it. Unknown fields of requests are not echoed (RFC 8555 section 7.3). */
export function viewAccount({ id, status, contacts, terms, binding }: Account, urls: AcmeUrls): object {
  return {
    status,
    contact: contacts,
    ...(terms === null ? {} : { termsOfServiceAgreed: true }),
    ...(binding === null ? {} : { externalAccountBinding: binding.jws }),
    orders: urls.orders(id),
  };
}

/** How an account stands in the log. */
export function actorOfAccount({ id }: Pick<Account, 'id'>): Actor {
  return { kind: 'machine', name: `acme:${id}` };
}

/** Contacts of a request; only mail addresses, one each. @throws malformed, unsupportedContact, invalidContact */
export function parseContacts(value: unknown): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > MAXIMUM_CONTACTS || value.some((contact) => typeof contact !== 'string')) {
    throw malformed(`contact is no list of at most ${MAXIMUM_CONTACTS} texts`);
  }
  for (const contact of value as string[]) {
    if (!/^mailto:/i.test(contact)) throw new AcmeProblem('unsupportedContact', 'Cannot use contact: expected a mailto URL');
    // RFC 8555 section 7.3: neither header fields nor a second address.
    if (contact.length > MAXIMUM_CONTACT || !/^mailto:[^\s@,?%"<>]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(contact)) {
      throw new AcmeProblem('invalidContact', 'Cannot use contact: expected mailto: and one address without header fields');
    }
  }
  return value as string[];
}

const MAXIMUM_CONTACTS = 10;
const MAXIMUM_CONTACT = 320;
