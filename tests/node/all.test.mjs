// Everything in one process: the programs are started once.

import './admin.mjs';
import './agents.mjs';
import './background.mjs';
import './errors.mjs';
import './identity.mjs';
import './responses.mjs';
import './streams.mjs';
import './tools.mjs';
