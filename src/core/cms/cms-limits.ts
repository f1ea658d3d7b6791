import type { DerLimits } from '../x509/der.ts';

/** Messages around one request or a few certificates; what is nested in octet strings is read with limits of its own. */
export const cmsLimits: DerLimits = { maxOctets: 262_144, maxDepth: 16, maxElements: 4_000 };

/** Certificates that a message may carry: a leaf with what stands above it. */
export const MAXIMUM_CMS_CERTIFICATES = 10;
