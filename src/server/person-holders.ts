import { holdTokenNames } from '../control/access/hold-token-names.ts';
import type { PersonHolder } from '../control/audit/person-holder.ts';
import { holdRequesters } from '../control/ca/hold-requesters.ts';
import { holdAskers } from '../control/external/hold-askers.ts';
import { holdAuthorityContacts } from '../control/external/hold-authority-contacts.ts';
import { holdGrantNames } from '../control/grants/hold-grant-names.ts';
import { holdOwners } from '../control/inventory/hold-owners.ts';
import { holdProfileAskers } from '../control/policies/hold-profile-askers.ts';
import { holdWeakeners } from '../control/rollouts/hold-weakeners.ts';
import { holdContacts } from '../protocols/acme/hold-contacts.ts';

/** Every slice whose rows name persons; who is to be forgotten is forgotten by all of them in one commit. */
export const personHolders: readonly PersonHolder[] = [
  holdTokenNames,
  holdOwners,
  holdProfileAskers,
  holdWeakeners,
  holdRequesters,
  holdGrantNames,
  holdAskers,
  holdAuthorityContacts,
  holdContacts,
];
