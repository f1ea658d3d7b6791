import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { RefusalLog } from '../../control/access/refusal-log.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { AcmeSecrets } from './acme-secrets.ts';
import type { AcmeSettings } from './acme-settings.ts';
import type { Chaos } from './chaos.ts';
import type { KnownAccounts } from './known-accounts.ts';
import type { AddressLimit } from './limits.ts';
import type { Nonces } from './nonces.ts';
import type { AcmeUrls } from './urls.ts';
import type { Validator } from './validator.ts';

/** All that the slice works with; each handler takes the part that it names. */
export type AcmeDeps = {
  readonly database: AuditedDatabase;
  readonly authorities: Authorities;
  readonly authorityChanged: Signal;
  /** Of accounts without a binding. */
  readonly place: { readonly environment: string; readonly region: string };
  readonly settings: AcmeSettings;
  readonly secrets: AcmeSecrets;
  readonly accounts: KnownAccounts;
  readonly nonces: Nonces;
  readonly urls: AcmeUrls;
  readonly chaos: Chaos;
  readonly validator: Validator;
  readonly addressLimit: AddressLimit;
  readonly refusals: Pick<RefusalLog, 'record'>;
  readonly clock: Clock;
  readonly log: Log;
};
