import { acmeAxis } from './acme.ts';
import { adsAxis } from './ads.ts';
import { envoyAxis } from './envoy.ts';
import { gatewayAxis } from './gateway.ts';
import { issuanceAxis } from './issuance.ts';
import type { Axis } from './measurement.ts';
import { revocationAxis } from './revocation.ts';
import { sdkAxis } from './sdk.ts';
import { startupAxis } from './startup.ts';

/** Every axis of `npm run bench`, by name. */
export const axes: readonly Axis[] = [startupAxis, issuanceAxis, acmeAxis, revocationAxis, sdkAxis, gatewayAxis, adsAxis, envoyAxis];
