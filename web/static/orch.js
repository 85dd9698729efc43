"use strict";
// Only what HTML cannot do. Every page works without it.
