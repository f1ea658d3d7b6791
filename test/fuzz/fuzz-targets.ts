import { cmpTarget } from './cmp-target.ts';
import { cmsTargets } from './cms-targets.ts';
import { derTargets } from './der-targets.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { http1Targets } from './http1-target.ts';
import { jwsTarget } from './jws-target.ts';

/** Every reader of what strangers send that is examined by mutation. */
export const fuzzTargets: readonly FuzzTarget[] = [...derTargets, ...cmsTargets, jwsTarget, cmpTarget, ...http1Targets];
