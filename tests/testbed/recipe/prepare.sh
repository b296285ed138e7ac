#!/bin/bash
# In the testbed: what tests of the helper begin with. Its programs have run once, so that they are in memory; it has
# decided nothing, and does not run.
set -euo pipefail
exec 2>&1
/payload/packaging/helper.sh install '' /payload/bin
systemctl enable --now banger-roothelper.socket
useradd --create-home --shell /bin/bash ann
gpasswd --add ann banger
systemctl start polkit banger-roothelper.service
pkcheck --action-id dev.banger.roothelper.manage-snapshots --process $$
systemctl stop banger-roothelper.service
systemctl is-active banger-roothelper.socket
for program in banger bangerd; do "/payload/bin/$program" --version; done
