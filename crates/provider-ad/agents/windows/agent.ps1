# The agent of vertskommune on a domain controller of Windows Server: one request as JSON on standard input, one answer on standard output.
#
# It is the forced command of the controller's key, works on the PDC emulator alone, and only ever touches this directory's own side of a
# trust. The protocol stands in docs/directory-agent.md; the agent for Samba answers the same. For Windows PowerShell 5.1, whose
# .NET Framework has the calls: in the .NET of PowerShell 7 some of them throw (TrustHelper.cs of dotnet/runtime).
#
# NO PART OF IT HAS EVER RUN ON WINDOWS. README.md beside it says what that leaves open.
#
# From top to bottom: what may be asked; what is decided without looking; what the administrators allow; what we remember; the directory
# itself; what can be seen of the partner from here; the operations; how one call is carried out. The first two touch nothing.
# This file is ASCII: 5.1 reads a file without a mark as the machine's own code page. The automatic variable of pipeline input must not be
# named in it: powershell.exe -File then reads standard input itself (ConsoleHost.cs), and there is no request left.
[CmdletBinding()]
param(
    # Defines the functions and does nothing: for the tests.
    [switch] $Load,
    # What the worker shares with the one who watches it. Nobody gives it from outside.
    [hashtable] $Watch = $null
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$Agent = '0.1.0'
$Protocol = 1
$Command = 'vertskommune directory agent'
$LongestRequest = 65536
# In seconds: each part of a call.
$Reading = 10
$Waiting = 10
$Working = 25

# ---------------------------------------------------------------------------------------------------------------------------------------
# What may be asked. A value is checked once, here, before anything is done. No message repeats a value: it may be the secret.

function New-Refusal([string] $Reason, [string] $Message, $Details = @{}) {
    $refusal = [ordered]@{ reason = $Reason; message = $Message }
    foreach ($name in @($Details.Keys)) { $refusal[$name] = $Details[$name] }
    $exception = New-Object System.InvalidOperationException($Message)
    $exception.Data['refusal'] = $refusal
    return $exception
}

$Label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
# \A and \z, since $ lets a line feed at the end through. No \d, since it is every script's digits.
$Patterns = @{
    label = '\A' + $Label + '\z'
    # The last label has a letter, else an address would be a name.
    domain = '\A(?=.{1,253}\z)(?:' + $Label + '\.)+(?![0-9]+\z)' + $Label + '\z'
    netbios = '\A[A-Z0-9](?:[A-Z0-9-]{0,13}[A-Z0-9])?\z'
    sid = '\AS-1-5-21-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})\z'
    direction = '\A(?:inbound|outbound|both)\z'
    kind = '\A(?:forest|external)\z'
    # Of any characters, since people agree on some. No control characters: they are mistakes in copying.
    secret = '\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{14,120}\z'
    address = '\A(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\z)|\z)){4}\z|\A(?=[^:]*:[^:]*:)[0-9a-fA-F:.]{2,45}\z'
    holder = '\A[^\p{C}\p{Zl}\p{Zp}]{1,200}\z'
    moment = '\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z\z'
}
$Meanings = @{
    label = 'is a name of small letters, digits and hyphens'
    domain = 'is a DNS name of two labels or more in small letters'
    netbios = 'is a NetBIOS name of at most 15 capitals, digits and hyphens'
    sid = 'is the SID of a domain, S-1-5-21-...'
    direction = 'is one of inbound, outbound, both'
    kind = 'is one of forest, external'
    secret = 'has from 14 to 120 characters and no control characters'
    address = 'is an IP address'
    holder = 'has from 1 to 200 printable characters'
    moment = 'is a time such as 2026-01-31T12:00:00Z'
    boolean = 'is true or false'
    addresses = 'is a list of at most 8 IP addresses'
    controllers = 'is a list of at most 16 DNS names'
}
# Every operation with all of its fields. None may be left out, none may be added.
$Asks = @{
    describe = @{}
    list = @{}
    preflight = @{ domain = 'domain'; dnsServers = 'addresses'; controllers = 'controllers' }
    ensure = @{
        tenant = 'label'; domain = 'domain'; netbios = 'netbios'; sid = 'sid'; direction = 'direction'; kind = 'kind'
        selective = 'boolean'; filtersSids = 'boolean'; secret = 'secret'; anew = 'boolean'; removeOrphan = 'boolean'
    }
    adopt = @{ tenant = 'label'; domain = 'domain'; sid = 'sid'; direction = 'direction'; kind = 'kind' }
    set = @{ tenant = 'label'; domain = 'domain'; selective = 'boolean'; filtersSids = 'boolean' }
    verify = @{ domain = 'domain' }
    probe = @{ domain = 'domain'; controller = 'domain' }
    heal = @{ domain = 'domain' }
    remove = @{ tenant = 'label'; domain = 'domain'; sid = 'sid' }
    forward = @{ tenant = 'label'; domain = 'domain'; dnsServers = 'addresses' }
    claim = @{ holder = 'holder'; expires = 'moment'; takeOver = 'boolean' }
}

function Test-Moment([string] $Value) {
    $parsed = [datetime]::MinValue
    $styles = [System.Globalization.DateTimeStyles]::AssumeUniversal -bor [System.Globalization.DateTimeStyles]::AdjustToUniversal
    return [datetime]::TryParseExact($Value.Substring(0, 19), "yyyy-MM-dd'T'HH:mm:ss", [cultureinfo]::InvariantCulture, $styles, [ref] $parsed)
}

function ConvertTo-Moment([string] $Value) {
    $styles = [System.Globalization.DateTimeStyles]::AssumeUniversal -bor [System.Globalization.DateTimeStyles]::AdjustToUniversal
    return [datetime]::ParseExact($Value.Substring(0, 19), "yyyy-MM-dd'T'HH:mm:ss", [cultureinfo]::InvariantCulture, $styles)
}

# Whether a value is what its kind says.
function Test-Value([string] $Kind, $Value) {
    if ($Kind -ceq 'boolean') { return ($Value -is [bool]) }
    if ($Kind -ceq 'addresses' -or $Kind -ceq 'controllers') {
        $each = 'domain'; $most = 16
        if ($Kind -ceq 'addresses') { $each = 'address'; $most = 8 }
        if ($Value -isnot [array] -or $Value.Count -gt $most) { return $false }
        foreach ($one in $Value) { if (-not (Test-Value $each $one)) { return $false } }
        return $true
    }
    # A regular expression is not tried on anything but text: -cmatch would make text of it.
    if ($Value -isnot [string] -or $Value -cnotmatch $Patterns[$Kind]) { return $false }
    if ($Kind -ceq 'sid') {
        foreach ($part in $Value.Split('-')[4..6]) { if ([uint64] $part -gt 4294967295) { return $false } }
    }
    if ($Kind -ceq 'moment') { return (Test-Moment $Value) }
    if ($Kind -ceq 'address') {
        $parsed = $null
        return [System.Net.IPAddress]::TryParse($Value, [ref] $parsed)
    }
    return $true
}

# What ConvertFrom-Json gives, as dictionaries whose names differ by case: 'Domain' is no 'domain'.
function ConvertTo-Plain($Value) {
    if ($Value -is [System.Management.Automation.PSCustomObject]) {
        $plain = New-Object 'System.Collections.Generic.Dictionary[string,object]' ([System.StringComparer]::Ordinal)
        foreach ($property in @($Value.PSObject.Properties)) { $plain[$property.Name] = ConvertTo-Plain $property.Value }
        return $plain
    }
    if ($Value -is [array]) {
        $list = New-Object System.Collections.ArrayList
        foreach ($one in $Value) { [void] $list.Add((ConvertTo-Plain $one)) }
        return , $list.ToArray()
    }
    return $Value
}

# Whether a text is made of JSON's tokens alone, and no object in it has a name twice: ConvertFrom-Json of 5.1 takes text in single quotes,
# and of two fields with one name the last.
function Test-Json([string] $Text) {
    $token = '"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|[{}\[\],:]|[ \t\r\n]+'
    $place = 0
    $names = New-Object System.Collections.ArrayList
    $last = ''
    foreach ($match in [regex]::Matches($Text, $token)) {
        if ($match.Index -ne $place) { return $false }
        $place += $match.Length
        $value = $match.Value
        if ($value.Trim(" `t`r`n".ToCharArray()) -ceq '') { continue }
        if ($value -ceq '{' -or $value -ceq '[') { [void] $names.Add((New-Object System.Collections.ArrayList)) }
        elseif ($value -ceq '}' -or $value -ceq ']') {
            if ($names.Count -eq 0) { return $false }
            $names.RemoveAt($names.Count - 1)
        } elseif ($value -ceq ':') {
            # No field of ours has a name that needs escaping, and an escaped one would be another way to write the same twice.
            if ($names.Count -eq 0 -or $last.Contains('\') -or $names[$names.Count - 1].Contains($last)) { return $false }
            [void] $names[$names.Count - 1].Add($last)
        }
        $last = $value
    }
    return ($place -eq $Text.Length -and $names.Count -eq 0)
}

# An object of JSON, or an error that holds nothing of it.
function Read-Json([string] $Text) {
    $value = $null
    try {
        if ($Text.TrimStart(" `t`r`n".ToCharArray()).StartsWith('{', [System.StringComparison]::Ordinal) -and (Test-Json $Text)) {
            $more = @{}
            # PowerShell 7 makes times of text that looks like one, unless it is told not to.
            if ((Get-Command ConvertFrom-Json).Parameters.ContainsKey('DateKind')) { $more['DateKind'] = 'String' }
            $value = ConvertTo-Plain (ConvertFrom-Json -InputObject $Text @more)
        }
    } catch { $value = $null }
    if ($value -isnot [System.Collections.IDictionary]) { throw (New-Refusal 'malformed' 'the request cannot be read: it is no JSON object in UTF-8') }
    return $value
}

function Test-Names($Value, $Names) {
    if ($Value -isnot [System.Collections.IDictionary] -or $Value.Count -ne @($Names).Count) { return $false }
    foreach ($name in @($Names)) { if (-not $Value.ContainsKey($name)) { return $false } }
    return $true
}

# The installation, the operation and its checked fields.
function Read-Request([byte[]] $Raw) {
    if ($Raw.Length -gt $LongestRequest) { throw (New-Refusal 'malformed' "the request cannot be read: it is longer than $LongestRequest bytes") }
    $text = ''
    try { $text = (New-Object System.Text.UTF8Encoding($false, $true)).GetString($Raw) } catch { $text = '' }
    $request = Read-Json $text
    $version = $null
    if ($request.ContainsKey('protocol')) { $version = $request['protocol'] }
    if ($version -isnot [int] -and $version -isnot [long]) { throw (New-Refusal 'malformed' 'the request cannot be read: protocol is a number') }
    if ($version -ne $Protocol) {
        throw (New-Refusal 'protocol' "this agent speaks version $Protocol of the agents' protocol: install the same version of vertskommune on both sides")
    }
    if (-not (Test-Names $request @('protocol', 'installation', 'ask'))) {
        throw (New-Refusal 'malformed' 'the request cannot be read: a request has exactly the fields protocol, installation, ask')
    }
    if (-not (Test-Value 'label' $request['installation'])) { throw (New-Refusal 'malformed' "the request cannot be read: installation $($Meanings['label'])") }
    $ask = $request['ask']
    if ($ask -isnot [System.Collections.IDictionary] -or $ask.Count -ne 1) { throw (New-Refusal 'malformed' 'the request cannot be read: ask has one operation') }
    $operation = @($ask.Keys)[0]
    $fields = $ask[$operation]
    # Hashtables of PowerShell do not tell capitals from small letters; the protocol does.
    if (@($Asks.Keys) -cnotcontains $operation) {
        throw (New-Refusal 'malformed' ('the request cannot be read: ask is one of ' + ((@($Asks.Keys) | Sort-Object) -join ', ')))
    }
    $names = @($Asks[$operation].Keys | Sort-Object)
    if (-not (Test-Names $fields $names)) {
        throw (New-Refusal 'malformed' ("the request cannot be read: $operation has exactly the fields " + ($names -join ', ')))
    }
    foreach ($name in $names) {
        $kind = $Asks[$operation][$name]
        if (-not (Test-Value $kind $fields[$name])) { throw (New-Refusal 'malformed' "the request cannot be read: $operation.$name $($Meanings[$kind])") }
    }
    return @{ installation = $request['installation']; operation = $operation; ask = $fields }
}

# ---------------------------------------------------------------------------------------------------------------------------------------
# What is decided without looking: answers as text, numbers as words, and what follows from what was found.

# Written here and not by ConvertTo-Json, so that 5.1 and 7 give the same bytes, and in ASCII, so that no code page can spoil them.
function ConvertTo-Answer($Value) {
    if ($null -eq $Value) { return 'null' }
    if ($Value -is [bool]) { if ($Value) { return 'true' } else { return 'false' } }
    if ($Value -is [int] -or $Value -is [long] -or $Value -is [uint32]) { return $Value.ToString([cultureinfo]::InvariantCulture) }
    if ($Value -is [string]) {
        $text = New-Object System.Text.StringBuilder
        foreach ($character in $Value.ToCharArray()) {
            $code = [int] $character
            if ($code -eq 34 -or $code -eq 92) { [void] $text.Append('\').Append($character) }
            elseif ($code -lt 32 -or $code -gt 126) { [void] $text.Append('\u').Append($code.ToString('x4', [cultureinfo]::InvariantCulture)) }
            else { [void] $text.Append($character) }
        }
        return '"' + $text.ToString() + '"'
    }
    if ($Value -is [System.Collections.IDictionary]) {
        $fields = @(foreach ($name in @($Value.Keys)) { (ConvertTo-Answer ([string] $name)) + ':' + (ConvertTo-Answer $Value[$name]) })
        return '{' + (@($fields) -join ',') + '}'
    }
    if ($Value -is [System.Collections.IEnumerable]) {
        $each = @(foreach ($one in $Value) { ConvertTo-Answer $one })
        return '[' + (@($each) -join ',') + ']'
    }
    throw (New-Refusal 'host' "the agent has no words for a value of type $($Value.GetType().Name)")
}

# trustDirection, trustAttributes: [MS-ADTS] 6.1.6.7.12 and 6.1.6.7.9. Outbound is that we trust the partner: its users reach our services.
# The text of the .NET enumeration says the opposite of that second half; its numbers are LSA's (TrustHelper.cs hands them on as they are).
$Directions = @{ 1 = 'inbound'; 2 = 'outbound'; 3 = 'both' }
$Numbers = @{ inbound = 1; outbound = 2; both = 3 }
$BitQuarantined = 0x4; $BitForest = 0x8; $BitSelective = 0x10; $BitWithinForest = 0x20; $BitAsExternal = 0x40

function ConvertTo-Trust($Raw) {
    $attributes = [int] $Raw['attributes']
    $kind = 'other'
    if ($Raw['type'] -eq 2 -and ($attributes -band $BitWithinForest) -eq 0) {
        $kind = 'external'
        if (($attributes -band $BitForest) -ne 0) { $kind = 'forest' }
    }
    $filters = ($attributes -band $BitQuarantined) -ne 0
    if ($kind -ceq 'forest') { $filters = ($attributes -band $BitAsExternal) -eq 0 }
    $direction = $null
    if ($Directions.ContainsKey([int] $Raw['direction'])) { $direction = $Directions[[int] $Raw['direction']] }
    return [ordered]@{
        domain = ([string] $Raw['partner']).ToLowerInvariant(); netbios = $Raw['flat']; sid = $Raw['sid']; direction = $direction; kind = $kind
        # Signed in the directory, and told as it is elsewhere: without a sign.
        attributes = ([long] $attributes) -band 4294967295; selective = ($attributes -band $BitSelective) -ne 0; filtersSids = $filters
        namesInConflict = @($Raw['conflicts'])
    }
}

# A trust as it is told, with our mark.
function Add-Mark($Trust, $Record, [bool] $Forwarder) {
    $marked = [ordered]@{}
    foreach ($name in @($Trust.Keys)) { $marked[$name] = $Trust[$name] }
    $marked['mark'] = $null
    if ($null -ne $Record) {
        $marked['mark'] = [ordered]@{
            tenant = $Record['tenant']; origin = $Record['origin']; whole = ($Record['state'] -ceq 'whole'); forwarder = $Forwarder; since = $Record['since']
        }
    }
    return $marked
}

# What became of Netlogon's look at a channel. The numbers: System Error Codes (Win32). What they mean for a channel was measured against
# Samba (ad-trust.md, 6), where the call is the same; on Windows it is read, not seen.
$Channels = @{
    0 = 'ok'               # NERR_Success
    5 = 'wrong-secret'     # ERROR_ACCESS_DENIED: the partner's controller does not take the secret
    53 = 'unreachable'     # ERROR_BAD_NETPATH
    1311 = 'unreachable'   # ERROR_NO_LOGON_SERVERS
    1323 = 'wrong-secret'  # ERROR_WRONG_PASSWORD
    1326 = 'wrong-secret'  # ERROR_LOGON_FAILURE
    1331 = 'stale'         # ERROR_ACCOUNT_DISABLED: the channel is of a trust before this one
    1355 = 'unreachable'   # ERROR_NO_SUCH_DOMAIN: no controller of it is found
    1460 = 'unreachable'   # ERROR_TIMEOUT
    1722 = 'unreachable'   # RPC_S_SERVER_UNAVAILABLE
    1726 = 'unreachable'   # RPC_S_CALL_FAILED
    1786 = 'no-secret'     # ERROR_NO_TRUST_LSA_SECRET
    1787 = 'one-sided'     # ERROR_NO_TRUST_SAM_ACCOUNT: the other side does not stand
    1788 = 'one-sided'     # ERROR_TRUSTED_DOMAIN_FAILURE
    1810 = 'other-kind'    # ERROR_DOMAIN_TRUST_INCONSISTENT: forest here, external there
}
function Get-Channel([long] $Code) {
    if ($Code -le 65535 -and $Channels.ContainsKey([int] $Code)) { return $Channels[[int] $Code] }
    return 'failed'
}

# Why the directory would not: Win32 codes as .NET gives them (ErrorCode of its exceptions; Exception.cs makes UnauthorizedAccessException of
# 5 and 8453, ServerDown of 1311, 1355, 1722, 1726). The numbers: System Error Codes; from NTSTATUS by LsaNtStatusToWinError.
$Reasons = @{
    5 = @('no-rights', 'the account of the agent has not the right to do this: README.md says which group it needs')        # ERROR_ACCESS_DENIED
    8453 = @('no-rights', 'the account of the agent has not the right to do this: README.md says which group it needs')     # ERROR_DS_DRA_ACCESS_DENIED
    1311 = @('partner-unreachable', 'no controller of the partner answers: look at DNS, routes and ports')                  # ERROR_NO_LOGON_SERVERS
    1355 = @('partner-unreachable', 'no controller of the partner is found: look at DNS')                                   # ERROR_NO_SUCH_DOMAIN
    1722 = @('partner-unreachable', 'the RPC server of a controller does not answer: look at port 135 and the dynamic ones') # RPC_S_SERVER_UNAVAILABLE
    1726 = @('partner-unreachable', 'a call to a controller broke off: look at port 135 and the dynamic ones')              # RPC_S_CALL_FAILED
    1460 = @('partner-unreachable', 'a controller of the partner does not answer in time')                                  # ERROR_TIMEOUT
    183 = @('conflicting-trust', 'a trust with that name or SID stands already')                                            # ERROR_ALREADY_EXISTS <- 0xC0000035
    1399 = @('own-name', 'the partner has a name or SID of this domain itself')                                             # ERROR_CURRENT_DOMAIN_NOT_ALLOWED <- 0xC00002E9
    1316 = @('orphan-account', 'an account with the name of the partner stands already')                                    # ERROR_USER_EXISTS <- 0xC0000063
}
# The Win32 code in an exception; -1 where there is none. An HRESULT of facility 7 (0x8007....) carries one.
function Get-Code($Exception) {
    $code = -1
    $property = $Exception.PSObject.Properties['ErrorCode']
    if ($null -ne $property -and $property.Value -is [int]) { $code = $property.Value } else { $code = $Exception.HResult }
    $unsigned = ([long] $code) -band 4294967295
    if (($unsigned -band 4294901760) -eq 2147942400) { return [int] ($unsigned -band 65535) }
    if ($unsigned -lt 65536 -and $unsigned -gt 0) { return [int] $unsigned }
    return -1
}

function ConvertTo-Hex([int] $Code) { return '0x' + $Code.ToString('X8', [cultureinfo]::InvariantCulture) }

# A refusal of what was thrown. Its text is not told: it may hold a value. Its type, code and place are.
function ConvertTo-Refusal($Exception, [int] $Line = 0) {
    $looked = $Exception
    # PowerShell wraps what a .NET method throws, once or more.
    for ($depth = 0; $null -ne $looked -and $depth -lt 8; $depth++) {
        if ($looked.Data.Contains('refusal')) { return $looked.Data['refusal'] }
        $innermost = $looked
        $looked = $looked.InnerException
    }
    $looked = $Exception
    for ($depth = 0; $null -ne $looked -and $depth -lt 8; $depth++) {
        if ($looked.GetType().Name -ceq 'ActiveDirectoryObjectExistsException') { return (New-Refusal 'conflicting-trust' $Reasons[183][1] @{ code = (ConvertTo-Hex 183) }).Data['refusal'] }
        $code = Get-Code $looked
        if ($Reasons.ContainsKey($code)) { return (New-Refusal $Reasons[$code][0] $Reasons[$code][1] @{ code = (ConvertTo-Hex $code) }).Data['refusal'] }
        $looked = $looked.InnerException
    }
    $code = Get-Code $innermost
    $place = "$($innermost.GetType().Name), line $Line"
    if ($code -lt 0) { return (New-Refusal 'host' "$($place): the agent cannot go on; look at this controller").Data['refusal'] }
    return (New-Refusal 'directory' "Windows refuses with the code $code ($place): look at the controller's event log" @{ code = (ConvertTo-Hex $code) }).Data['refusal']
}

# What is to be done for `ensure`, from all that was found: keep, make, or a refusal. All that can be refused is, before anything is taken away.
function Get-Decision($Ask, $Own, $Trusts, $Orphans, $Accounts, $Record) {
    $domain = $Ask['domain']
    $trust = $null
    foreach ($one in @($Trusts)) { if ($one['domain'] -ceq $domain) { $trust = $one } }
    if ($null -ne $trust -and $trust['sid'] -cne $Ask['sid']) {
        throw (New-Refusal 'sid-mismatch' "a trust named $domain stands for another SID: that domain was made anew, or the name is taken; remove it if it is dead" @{ found = (Add-Mark $trust $Record $false) })
    }
    if ($null -ne $trust -and $null -eq $Record) {
        throw (New-Refusal 'not-ours' "a trust with $domain stands that we did not make: adopt it, or have it removed" @{ found = (Add-Mark $trust $null $false) })
    }
    if ($null -ne $trust -and $Record['state'] -ceq 'whole' -and -not $Ask['anew']) {
        $same = $true
        foreach ($name in @('direction', 'kind', 'selective', 'filtersSids')) { if ($trust[$name] -cne $Ask[$name]) { $same = $false } }
        if ($same) { return 'keep' }
        throw (New-Refusal 'conflicting-trust' "the trust with $domain is another than is asked for: what can be set is set, the rest is made anew" @{ found = (Add-Mark $trust $Record $false) })
    }
    if ($domain -ceq $Own['domain'] -or $Ask['netbios'] -ceq $Own['netbios'].ToUpperInvariant()) {
        throw (New-Refusal 'own-name' 'the partner has the name of this domain itself: two domains with one name cannot trust each other')
    }
    if ($Ask['sid'] -ceq $Own['sid']) {
        throw (New-Refusal 'own-sid' 'the partner has the SID of this domain itself: one was made as a copy of the other, and they cannot trust each other')
    }
    # .NET makes a forest's trusts in the forest's root alone, and would make this one there.
    if ($Ask['kind'] -ceq 'forest' -and $Own['domain'] -cne $Own['forest']) {
        throw (New-Refusal 'unsupported' 'a forest trust is made in the root domain of the forest: run the agent on its PDC emulator')
    }
    foreach ($one in @($Trusts)) {
        if ($one['domain'] -ceq $domain) { continue }
        if (([string] $one['netbios']).ToUpperInvariant() -ceq $Ask['netbios']) {
            throw (New-Refusal 'netbios-taken' "the NetBIOS name $($Ask['netbios']) is that of the trust with $($one['domain'])" @{ found = (Add-Mark $one $null $false) })
        }
        if ($one['sid'] -ceq $Ask['sid']) {
            throw (New-Refusal 'sid-taken' "the SID is that of the trust with $($one['domain']): one domain was made as a copy of the other" @{ found = (Add-Mark $one $null $false) })
        }
    }
    if (@($Accounts) -ccontains $Ask['netbios'] -and @($Orphans) -cnotcontains $Ask['netbios'] -and $null -eq $trust) {
        throw (New-Refusal 'netbios-taken' "the account $($Ask['netbios'])`$ stands and is none of a trust: the name cannot be the partner's too")
    }
    $ours = $null -ne $Record -and $Record['origin'] -ceq 'made' -and $Record['netbios'] -ceq $Ask['netbios']
    if (@($Orphans) -ccontains $Ask['netbios'] -and -not $ours -and -not $Ask['removeOrphan']) {
        throw (New-Refusal 'orphan-account' "the account $($Ask['netbios'])`$ is left of a trust that was deleted: it has to go before one can be made")
    }
    return 'make'
}

# The rights with which somebody could change a file, or what stands in a folder: FileSystemRights WriteData, AppendData,
# WriteExtendedAttributes, DeleteSubdirectoriesAndFiles, WriteAttributes, Delete, ChangePermissions, TakeOwnership; GENERIC_WRITE and _ALL.
$Changing = 0x2 -bor 0x4 -bor 0x10 -bor 0x40 -bor 0x100 -bor 0x10000 -bor 0x40000 -bor 0x80000 -bor 0x40000000 -bor 0x10000000
# Whether a SID is an administrator's: SYSTEM, BUILTIN\Administrators, TrustedInstaller; Domain Admins and Enterprise Admins of any domain.
function Test-Administrator([string] $Sid) {
    if (@('S-1-5-18', 'S-1-5-32-544', 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464') -ccontains $Sid) { return $true }
    return ($Sid -cmatch '\AS-1-5-21-[0-9]+-[0-9]+-[0-9]+-(?:512|519)\z')
}
# $Entries: the rules that allow, each with sid, rights (a number) and inheritOnly. $Also: who may own it besides; whether what an
# administrator makes belongs to him or to his group is a setting of Windows.
function Test-Protection([string] $Owner, $Entries, [string] $Also = '') {
    if (-not (Test-Administrator $Owner) -and ($Also -ceq '' -or $Owner -cne $Also)) { return $false }
    foreach ($entry in @($Entries)) {
        if (-not $entry['inheritOnly'] -and ([long] $entry['rights'] -band $Changing) -ne 0 -and -not (Test-Administrator $entry['sid'])) { return $false }
    }
    return $true
}

# The partners of this installation with the directions that each may have, from the text of the administrators' file.
function Read-Settings([string] $Text, [string] $Installation) {
    $settings = $null
    try { $settings = Read-Json $Text } catch { $settings = $null }
    $good = (Test-Names $settings @('installations')) -and ($settings['installations'] -is [System.Collections.IDictionary])
    $partners = $null
    if ($good) {
        foreach ($name in @($settings['installations'].Keys)) {
            $entry = $settings['installations'][$name]
            if (-not (Test-Value 'label' $name) -or -not (Test-Names $entry @('partners')) -or $entry['partners'] -isnot [System.Collections.IDictionary]) { $good = $false; break }
            foreach ($domain in @($entry['partners'].Keys)) {
                $ways = $entry['partners'][$domain]
                if (-not (Test-Value 'domain' $domain) -or $ways -isnot [array]) { $good = $false; break }
                foreach ($way in $ways) { if (-not (Test-Value 'direction' $way)) { $good = $false } }
            }
            if ($name -ceq $Installation) { $partners = $entry['partners'] }
        }
    }
    if (-not $good) { throw (New-Refusal 'host' 'the file of what is allowed (settings.json) cannot be used: README.md shows one') }
    if ($null -eq $partners) { throw (New-Refusal 'installation' 'this directory does not serve that installation: its administrators name it in settings.json') }
    return $partners
}

function Assert-Allowed($Partners, $Ask) {
    if (-not $Ask.ContainsKey('domain')) { return }
    $domain = $Ask['domain']
    if (-not $Partners.ContainsKey($domain)) { throw (New-Refusal 'not-allowed' "no trust with $domain is allowed here: the domain's administrators name it in settings.json") }
    if ($Ask.ContainsKey('direction') -and @($Partners[$domain]) -cnotcontains $Ask['direction']) {
        throw (New-Refusal 'not-allowed' "a trust with $domain is not allowed to be $($Ask['direction']): the domain's administrators say so in settings.json")
    }
}

# What a ticket fails of, by the status of Windows ([MS-ERREF] 2.3.1 and 2.1.1), which klist writes in whatever language.
$Tickets = @{
    'c0000133' = 'clock-skew'   # STATUS_TIME_DIFFERENCE_AT_DC
    '80090324' = 'clock-skew'   # SEC_E_TIME_SKEW
    'c000018b' = 'no-trust'     # STATUS_NO_TRUST_SAM_ACCOUNT, as for a service that no KDC on the way knows
    'c000018a' = 'one-sided'    # STATUS_NO_TRUST_LSA_SECRET
    'c000018d' = 'one-sided'    # STATUS_TRUSTED_RELATIONSHIP_FAILURE
    'c000006d' = 'wrong-secret' # STATUS_LOGON_FAILURE
    'c000005e' = 'unreachable'  # STATUS_NO_LOGON_SERVERS
    'c0000233' = 'unreachable'  # STATUS_DOMAIN_CONTROLLER_NOT_FOUND
    '80090311' = 'unreachable'  # SEC_E_NO_AUTHENTICATING_AUTHORITY
    'c0000413' = 'not-allowed'  # STATUS_AUTHENTICATION_FIREWALL_FAILED: selective authentication there
}
# What `klist get` says: a ticket's line has the service's name with its realm, a failure ends with a status.
function Read-Ticket([string] $Text, [string] $Service) {
    if ([regex]::IsMatch($Text, '(?i)' + [regex]::Escape($Service) + ' @ ')) { return @{ ticket = 'ok'; message = '' } }
    $found = [regex]::Matches($Text, '(?i)0x([0-9a-f]{8})')
    if ($found.Count -eq 0) { return @{ ticket = 'failed'; message = 'klist shows no ticket' } }
    $status = $found[$found.Count - 1].Groups[1].Value.ToLowerInvariant()
    $word = 'failed'
    if ($Tickets.ContainsKey($status)) { $word = $Tickets[$status] }
    return @{ ticket = $word; message = 'klist: 0x' + $status }
}

# One value of ASN.1 in DER, for the two questions below. $Body: bytes, or lists of them.
function ConvertTo-Der([int] $Tag, $Body) {
    $content = New-Object System.Collections.ArrayList
    foreach ($part in @($Body)) { foreach ($byte in @($part)) { [void] $content.Add([byte] $byte) } }
    $head = @($Tag, $content.Count)
    if ($content.Count -gt 127) { $head = @($Tag, 129, $content.Count) }
    if ($content.Count -gt 255) { $head = @($Tag, 130, [int] [math]::Floor($content.Count / 256), ($content.Count % 256)) }
    return , [byte[]] ($head + $content.ToArray())
}
function ConvertTo-DerText([int] $Tag, [string] $Text) { return , (ConvertTo-Der $Tag ([System.Text.Encoding]::ASCII.GetBytes($Text))) }
function ConvertTo-DerName([int] $Form, [string[]] $Parts) {
    $texts = @(foreach ($part in $Parts) { ConvertTo-DerText 27 $part })
    return , (ConvertTo-Der 48 ((ConvertTo-Der 160 (ConvertTo-Der 2 @($Form))) + (ConvertTo-Der 161 (ConvertTo-Der 48 $texts))))
}

# An AS-REQ (RFC 4120, 5.4.1) for a user that is none: the KDC answers with an error, in which its clock stands. $Nonce: from 2^15 to
# below 2^23, so that it is three bytes and none too many.
function Get-KerberosQuestion([string] $Realm, [int] $Nonce) {
    $number = [byte[]] @([int] [math]::Floor($Nonce / 65536), ([int] [math]::Floor($Nonce / 256) % 256), ($Nonce % 256))
    $body = (ConvertTo-Der 160 (ConvertTo-Der 3 @(0, 0, 0, 0, 0))) + (ConvertTo-Der 161 (ConvertTo-DerName 1 @('vertskommune-clock')))
    $body += (ConvertTo-Der 162 (ConvertTo-DerText 27 $Realm)) + (ConvertTo-Der 163 (ConvertTo-DerName 2 @('krbtgt', $Realm)))
    $body += (ConvertTo-Der 165 (ConvertTo-DerText 24 '20370913024805Z')) + (ConvertTo-Der 167 (ConvertTo-Der 2 $number))
    $body += (ConvertTo-Der 168 (ConvertTo-Der 48 ((ConvertTo-Der 2 @(18)) + (ConvertTo-Der 2 @(17)))))
    $whole = (ConvertTo-Der 161 (ConvertTo-Der 2 @(5))) + (ConvertTo-Der 162 (ConvertTo-Der 2 @(10))) + (ConvertTo-Der 164 (ConvertTo-Der 48 $body))
    return , (ConvertTo-Der 106 (ConvertTo-Der 48 $whole))
}

# The search of the rootDSE over UDP by which controllers are found ([MS-ADTS] 6.3.3.1).
function Get-LdapQuestion([string] $Domain) {
    $asked = (ConvertTo-Der 163 ((ConvertTo-DerText 4 'DnsDomain') + (ConvertTo-DerText 4 $Domain)))
    $asked += (ConvertTo-Der 163 ((ConvertTo-DerText 4 'NtVer') + (ConvertTo-Der 4 @(6, 0, 0, 0))))
    $search = (ConvertTo-Der 4 @()) + (ConvertTo-Der 10 @(0)) + (ConvertTo-Der 10 @(0)) + (ConvertTo-Der 2 @(0)) + (ConvertTo-Der 2 @(0)) + (ConvertTo-Der 1 @(0))
    $search += (ConvertTo-Der 160 $asked) + (ConvertTo-Der 48 (ConvertTo-DerText 4 'Netlogon'))
    return , (ConvertTo-Der 48 ((ConvertTo-Der 2 @(1)) + (ConvertTo-Der 99 $search)))
}

# System Error Codes 9000-11999 and 1460, as Resolve-DnsName gives them.
$Lookups = @{ 9003 = 'nxdomain'; 9002 = 'servfail'; 9005 = 'servfail'; 9501 = 'no-answer'; 1460 = 'timeout' }

if ($Load) { return }

# ---------------------------------------------------------------------------------------------------------------------------------------
# What the domain's administrators allow. From here on the system is touched.

$Root = [System.IO.Path]::Combine([System.Environment]::GetFolderPath('CommonApplicationData'), 'vertskommune')
$SettingsPath = [System.IO.Path]::Combine($Root, 'settings.json')
$State = [System.IO.Path]::Combine($Root, 'state')

# Refuses a file or folder that others than administrators, or $Also, own, or that others than administrators can change.
function Assert-Protected([string] $Path, [string] $Also = '') {
    $acl = Get-Acl -LiteralPath $Path
    $type = [System.Security.Principal.SecurityIdentifier]
    $entries = @(foreach ($rule in $acl.GetAccessRules($true, $true, $type)) {
        if ($rule.AccessControlType -eq [System.Security.AccessControl.AccessControlType]::Allow) {
            @{
                sid = $rule.IdentityReference.Value; rights = [int] $rule.FileSystemRights
                inheritOnly = ($rule.PropagationFlags -band [System.Security.AccessControl.PropagationFlags]::InheritOnly) -ne 0
            }
        }
    })
    $owner = $acl.GetOwner($type).Value
    if (-not (Test-Protection $owner @($entries) $Also)) {
        throw (New-Refusal 'host' "$Path must belong to the administrators and be writable by nobody else: README.md says how")
    }
}

function Read-Allowed([string] $Installation) {
    foreach ($path in @($Root, $SettingsPath)) {
        if (-not (Test-Path -LiteralPath $path)) { throw (New-Refusal 'host' "$path is not there: the domain's administrators write there which installations and partners they allow") }
        Assert-Protected $path
    }
    return (Read-Settings (Read-Text $SettingsPath) $Installation)
}

# ---------------------------------------------------------------------------------------------------------------------------------------
# What we remember: one file for each trust that we made or adopted, one for each forwarder that we made, and the claim of the one writer.
# `state` is making or removing while that is under way: whoever finds it so was preceded by a death, and all that stands under that name
# is ours and half. Forwarders have files of their own, since they are made before there is a trust.

$RecordFields = @{
    tenant = 'label'; domain = 'domain'; netbios = 'netbios'; sid = 'sid'; direction = 'direction'; kind = 'kind'
    origin = @('made', 'adopted'); state = @('making', 'whole', 'removing'); since = 'moment'
}
$ForwarderFields = @{ tenant = 'label'; domain = 'domain'; since = 'moment' }
$ClaimFields = @{ holder = 'holder'; expires = 'moment' }

function Get-Now { return [datetime]::UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", [cultureinfo]::InvariantCulture) }

function Read-Text([string] $Path) {
    return (New-Object System.Text.UTF8Encoding($false, $true)).GetString([System.IO.File]::ReadAllBytes($Path))
}

# The folder of one installation's records. No name of ours begins with what was asked for: `con` and `con.test` are devices. Its rights come from the folder above, which README.md has the administrators make.
function Open-Records([string] $Installation) {
    $folder = [System.IO.Path]::Combine($State, 'of-' + $Installation)
    if (-not (Test-Path -LiteralPath $folder)) { [void] [System.IO.Directory]::CreateDirectory($folder) }
    Assert-Protected $State
    Assert-Protected $folder ([System.Security.Principal.WindowsIdentity]::GetCurrent().User.Value)
    return $folder
}

# A record, or nothing where there is none. One that cannot be read stops everything: it tells of something that is ours.
function Get-Record([string] $Folder, [string] $Name, $Fields) {
    $path = [System.IO.Path]::Combine($Folder, $Name + '.json')
    if (-not [System.IO.File]::Exists($path)) { return $null }
    $value = $null
    try { $value = Read-Json (Read-Text $path) } catch { $value = $null }
    $good = Test-Names $value @($Fields.Keys)
    if ($good) {
        foreach ($field in @($Fields.Keys)) {
            if ($Fields[$field] -is [array]) { if (@($Fields[$field]) -cnotcontains $value[$field]) { $good = $false } }
            elseif (-not (Test-Value $Fields[$field] $value[$field])) { $good = $false }
        }
    }
    if (-not $good) { throw (New-Refusal 'host' "$path cannot be read: look at it, and at what it tells of") }
    return $value
}

# Whole or not at all. File.Replace and File.Move are ReplaceFile and MoveFileEx of Windows: within one folder the name changes in one step.
function Set-Record([string] $Folder, [string] $Name, $Value) {
    $path = [System.IO.Path]::Combine($Folder, $Name + '.json')
    $begun = [System.IO.Path]::Combine($Folder, $Name + '.new')
    $bytes = [System.Text.Encoding]::ASCII.GetBytes((ConvertTo-Answer $Value) + "`n")
    $file = New-Object System.IO.FileStream($begun, [System.IO.FileMode]::Create, [System.IO.FileAccess]::Write, [System.IO.FileShare]::None)
    try {
        $file.Write($bytes, 0, $bytes.Length)
        # On the disk before what it tells of begins.
        $file.Flush($true)
    } finally { $file.Dispose() }
    if ([System.IO.File]::Exists($path)) { [System.IO.File]::Replace($begun, $path, [NullString]::Value) } else { [System.IO.File]::Move($begun, $path) }
}

function Remove-Record([string] $Folder, [string] $Name) { [System.IO.File]::Delete([System.IO.Path]::Combine($Folder, $Name + '.json')) }

# The domains of the records whose names begin so.
function Get-RecordNames([string] $Folder, [string] $Beginning) {
    foreach ($path in [System.IO.Directory]::GetFiles($Folder, $Beginning + '*.json')) {
        [System.IO.Path]::GetFileNameWithoutExtension($path).Substring($Beginning.Length)
    }
}

# One call at a time. A file and no named mutex: the folder's rights protect its name, and it ends with the process that holds it.
function Enter-Lock([string] $Name) {
    $path = [System.IO.Path]::Combine($State, $Name + '.lock')
    $until = [datetime]::UtcNow.AddSeconds($Waiting)
    while ($true) {
        try {
            return (New-Object System.IO.FileStream($path, [System.IO.FileMode]::OpenOrCreate, [System.IO.FileAccess]::ReadWrite, [System.IO.FileShare]::None))
        } catch {
            # 32 and 33: ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
            $inner = $_.Exception
            while ($null -ne $inner.InnerException) { $inner = $inner.InnerException }
            if (@(32, 33) -notcontains (Get-Code $inner)) { throw }
            if ([datetime]::UtcNow -gt $until) { throw (New-Refusal 'busy' "another call works on this directory for more than $Waiting seconds: ask again") }
            Start-Sleep -Milliseconds 50
        }
    }
}

# ---------------------------------------------------------------------------------------------------------------------------------------
# The directory. It is looked at by LDAP and changed by LSA alone, which holds trust and account together.
#
# By a context of this very server: with one of a domain or forest .NET takes any controller that it finds (GetPolicyServerName in Utils.cs).
# The filters of searches are written here, and hold nothing of a request.

$TrustFilter = '(objectClass=trustedDomain)'
# INTERDOMAIN_TRUST_ACCOUNT of userAccountControl, by LDAP_MATCHING_RULE_BIT_AND.
$AccountFilter = '(userAccountControl:1.2.840.113556.1.4.803:=2048)'

function Open-Directory {
    Add-Type -AssemblyName System.DirectoryServices
    $here = [System.Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $controller = ($here.HostName + '.' + $here.DomainName).ToLowerInvariant()
    $context = New-Object System.DirectoryServices.ActiveDirectory.DirectoryContext([System.DirectoryServices.ActiveDirectory.DirectoryContextType]::DirectoryServer, $controller)
    $domain = [System.DirectoryServices.ActiveDirectory.Domain]::GetDomain($context)
    $forestOf = [System.DirectoryServices.ActiveDirectory.Forest]::GetForest($context)
    $top = New-Object System.DirectoryServices.DirectoryEntry("LDAP://$controller/RootDSE")
    $base = [string] $top.Properties['defaultNamingContext'].Value
    $configuration = [string] $top.Properties['configurationNamingContext'].Value
    $entry = New-Object System.DirectoryServices.DirectoryEntry("LDAP://$controller/$base")
    $directory = @{
        controller = $controller; base = $base; domainObject = $domain; forestObject = $forestOf
        domain = $domain.Name.ToLowerInvariant(); forest = $forestOf.Name.ToLowerInvariant(); netbios = ''
        sid = (New-Object System.Security.Principal.SecurityIdentifier([byte[]] $entry.Properties['objectSid'].Value, 0)).Value
        isPdc = ($domain.PdcRoleOwner.Name -eq $controller)
    }
    foreach ($found in @(Find-Entry $directory "CN=Partitions,$configuration" '(&(objectClass=crossRef)(nETBIOSName=*))' @('ncname', 'netbiosname'))) {
        if ([string] $found.Properties['ncname'][0] -eq $base) { $directory['netbios'] = [string] $found.Properties['netbiosname'][0] }
    }
    return $directory
}

function Find-Entry($Directory, [string] $Base, [string] $Filter, [string[]] $Attributes, [string] $Scope = 'OneLevel') {
    $entry = New-Object System.DirectoryServices.DirectoryEntry("LDAP://$($Directory['controller'])/$Base")
    $searcher = New-Object System.DirectoryServices.DirectorySearcher($entry, $Filter, $Attributes, [System.DirectoryServices.SearchScope] $Scope)
    $searcher.PageSize = 500
    $searcher.ReferralChasing = [System.DirectoryServices.ReferralChasingOption]::None
    $searcher.ClientTimeout = [timespan]::FromSeconds(10)
    $found = $searcher.FindAll()
    try { foreach ($one in $found) { $one } } finally { $found.Dispose() }
}

# The names of a forest trust that are switched off, since another one has them. None where the names were not fetched yet: the call throws then.
function Get-Conflicts($Directory, [string] $Domain) {
    try {
        $known = $Directory['forestObject'].GetTrustRelationship($Domain)
        foreach ($name in $known.TopLevelNames) {
            if ($name.Status -eq [System.DirectoryServices.ActiveDirectory.TopLevelNameStatus]::ConflictDisabled) { $name.Name }
        }
        $conflict = [System.DirectoryServices.ActiveDirectory.ForestTrustDomainStatus]
        foreach ($each in $known.TrustedDomainInformation) {
            if (($each.Status -band $conflict::SidConflictDisabled) -ne 0) { $each.DnsName }
            if (($each.Status -band $conflict::NetBiosNameConflictDisabled) -ne 0) { $each.NetBiosName }
        }
    } catch { return }
}

function Get-Trusts($Directory) {
    $wanted = @('trustpartner', 'flatname', 'securityidentifier', 'trustdirection', 'trusttype', 'trustattributes')
    foreach ($found in @(Find-Entry $Directory "CN=System,$($Directory['base'])" $TrustFilter $wanted)) {
        $properties = $found.Properties
        $raw = @{ partner = ''; flat = ''; sid = $null; direction = 0; type = 0; attributes = 0; conflicts = @() }
        if ($properties.Contains('trustpartner')) { $raw['partner'] = [string] $properties['trustpartner'][0] }
        if ($properties.Contains('flatname')) { $raw['flat'] = [string] $properties['flatname'][0] }
        if ($properties.Contains('securityidentifier')) {
            $raw['sid'] = (New-Object System.Security.Principal.SecurityIdentifier([byte[]] $properties['securityidentifier'][0], 0)).Value
        }
        if ($properties.Contains('trustdirection')) { $raw['direction'] = [int] $properties['trustdirection'][0] }
        if ($properties.Contains('trusttype')) { $raw['type'] = [int] $properties['trusttype'][0] }
        if ($properties.Contains('trustattributes')) { $raw['attributes'] = [int] $properties['trustattributes'][0] }
        if (($raw['attributes'] -band $BitForest) -ne 0) { $raw['conflicts'] = @(Get-Conflicts $Directory $raw['partner']) }
        ConvertTo-Trust $raw
    }
}

function Get-Trust($Directory, [string] $Domain) {
    foreach ($trust in @(Get-Trusts $Directory)) { if ($trust['domain'] -ceq $Domain) { return $trust } }
    return $null
}

# The NetBIOS names of the accounts of trusts, in capitals.
function Get-Accounts($Directory) {
    foreach ($found in @(Find-Entry $Directory $Directory['base'] $AccountFilter @('samaccountname') 'Subtree')) {
        ([string] $found.Properties['samaccountname'][0]).TrimEnd('$').ToUpperInvariant()
    }
}

function Get-Orphans($Accounts, $Trusts) {
    $names = @(@($Trusts) | ForEach-Object { ([string] $_['netbios']).ToUpperInvariant() })
    foreach ($account in @($Accounts)) { if ($names -cnotcontains $account) { $account } }
}

# Takes the account that a deleted trust left; only one that is a trust's, and of no trust that stands.
function Remove-Account($Directory, [string] $Netbios) {
    if (@(Get-Orphans @(Get-Accounts $Directory) @(Get-Trusts $Directory)) -cnotcontains $Netbios) { return }
    foreach ($found in @(Find-Entry $Directory $Directory['base'] $AccountFilter @('samaccountname') 'Subtree')) {
        if (([string] $found.Properties['samaccountname'][0]).ToUpperInvariant() -ceq ($Netbios + '$')) { $found.GetDirectoryEntry().DeleteTree() }
    }
}

# Forest's methods for forests, Domain's for single domains: each refuses the other's trusts (ValidateTrustAttribute in TrustHelper.cs).
function Get-Side($Directory, [string] $Kind) {
    if ($Kind -ceq 'forest') { return $Directory['forestObject'] }
    if ($Kind -ceq 'external') { return $Directory['domainObject'] }
    throw (New-Refusal 'unsupported' 'the trust is neither of a forest nor an external one: people settle it')
}

# The calls of netapi32 that .NET has not, or whose answer it makes smaller. To this machine by a null name, so that no password is needed.
# I_NetLogonControl2: lmaccess.h; 10 is NETLOGON_CONTROL_TC_VERIFY, 5 is _REDISCOVER; 0x80 is NETLOGON_VERIFY_STATUS_RETURNED.
# DsGetForestTrustInformationW: dsgetdc.h; 1 is DS_GFTI_UPDATE_TDO, for the PDC alone.
$Netapi = @'
using System;
using System.Runtime.InteropServices;
namespace Vertskommune {
    public static class Netapi {
        [StructLayout(LayoutKind.Sequential)]
        private struct Info2 { public uint Flags; public uint PdcStatus; public IntPtr Controller; public uint ChannelStatus; }
        [DllImport("netapi32.dll", CharSet = CharSet.Unicode)]
        private static extern uint I_NetLogonControl2(string server, uint function, uint level, ref IntPtr data, out IntPtr buffer);
        [DllImport("netapi32.dll", CharSet = CharSet.Unicode)]
        private static extern uint DsGetForestTrustInformationW(string server, string domain, uint flags, out IntPtr information);
        [DllImport("netapi32.dll")]
        private static extern uint NetApiBufferFree(IntPtr buffer);

        public static object[] Channel(uint function, string domain) {
            IntPtr name = Marshal.StringToHGlobalUni(domain);
            IntPtr buffer = IntPtr.Zero;
            try {
                uint code = I_NetLogonControl2(null, function, 2, ref name, out buffer);
                if (code != 0) { return new object[] { (long) code, null }; }
                if (buffer == IntPtr.Zero) { return new object[] { 0L, null }; }
                Info2 info = (Info2) Marshal.PtrToStructure(buffer, typeof(Info2));
                code = (info.Flags & 0x80) != 0 ? info.PdcStatus : info.ChannelStatus;
                return new object[] { (long) code, Marshal.PtrToStringUni(info.Controller) };
            } finally {
                Marshal.FreeHGlobal(name);
                if (buffer != IntPtr.Zero) { NetApiBufferFree(buffer); }
            }
        }

        public static long FetchNames(string domain) {
            IntPtr information = IntPtr.Zero;
            uint code = DsGetForestTrustInformationW(null, domain, 1, out information);
            if (information != IntPtr.Zero) { NetApiBufferFree(information); }
            return (long) code;
        }
    }
}
'@

function Invoke-Channel([uint32] $Function, [string] $Domain) {
    if ($null -eq ('Vertskommune.Netapi' -as [type])) { Add-Type -TypeDefinition $Netapi }
    $answer = [Vertskommune.Netapi]::Channel($Function, $Domain)
    $controller = $null
    if ($null -ne $answer[1]) { $controller = ([string] $answer[1]).TrimStart('\').ToLowerInvariant() }
    return @{ code = [long] $answer[0]; controller = $controller }
}

# ---------------------------------------------------------------------------------------------------------------------------------------
# What can be seen of the partner from here.

# One question of DNS. $Server: an address, or nothing for this machine's own resolver.
function Find-Name([string] $Name, [string] $Type, $Server) {
    $more = @{}
    if ($null -ne $Server) { $more['Server'] = [string] $Server }
    try {
        return @{ outcome = 'ok'; found = @(Resolve-DnsName -Name $Name -Type $Type -DnsOnly -NoHostsFile -QuickTimeout @more) }
    } catch {
        $code = -1
        $native = $_.Exception.PSObject.Properties['NativeErrorCode']
        if ($null -ne $native) { $code = [int] $native.Value } else { $code = Get-Code $_.Exception }
        $outcome = 'servfail'
        if ($Lookups.ContainsKey($code)) { $outcome = $Lookups[$code] }
        return @{ outcome = $outcome; found = @() }
    }
}

# The domain's controllers with their addresses, as this server knows them.
function Get-Hosts([string] $Domain, $Server) {
    $asked = Find-Name ('_ldap._tcp.dc._msdcs.' + $Domain) 'SRV' $Server
    $known = New-Object System.Collections.Specialized.OrderedDictionary
    foreach ($record in @($asked['found'])) {
        if ($record.PSObject.Properties['NameTarget'] -and [string] $record.Type -eq 'SRV') {
            $name = ([string] $record.NameTarget).TrimEnd('.').ToLowerInvariant()
            if ((Test-Value 'domain' $name) -and -not $known.Contains($name)) { $known[$name] = @() }
        }
    }
    # Most servers send the addresses along.
    foreach ($record in @($asked['found'])) {
        if ($record.PSObject.Properties['IPAddress'] -and [string] $record.Type -eq 'A') {
            $name = ([string] $record.Name).TrimEnd('.').ToLowerInvariant()
            if ($known.Contains($name)) { $known[$name] = @($known[$name]) + @([string] $record.IPAddress) }
        }
    }
    $outcome = $asked['outcome']
    # Every question may take seconds: a partner has more controllers than need be looked at.
    $hosts = @(foreach ($name in @(@($known.Keys) | Select-Object -First 4)) {
        $addresses = @($known[$name])
        if ($addresses.Count -eq 0) {
            $again = Find-Name $name 'A' $Server
            $addresses = @(@($again['found']) | Where-Object { $_.PSObject.Properties['IPAddress'] } | ForEach-Object { [string] $_.IPAddress })
            if ($addresses.Count -eq 0 -and $outcome -ceq 'ok') { $outcome = $again['outcome'] }
        }
        [ordered]@{ name = $name; addresses = $addresses }
    })
    if (@($hosts | Where-Object { @($_['addresses']).Count -gt 0 }).Count -gt 0) { $outcome = 'ok' } elseif ($outcome -ceq 'ok') { $outcome = 'no-answer' }
    return [ordered]@{ outcome = $outcome; hosts = $hosts }
}

# An outcome by the number of a socket's error (Windows Sockets Error Codes): WSAECONNREFUSED, WSAECONNRESET (what UDP gets of a closed port);
# WSAETIMEDOUT; the rest are WSAENETUNREACH and its like.
function Get-Outcome([int] $Code) {
    if ($Code -eq 10061 -or $Code -eq 10054) { return 'refused' }
    if ($Code -eq 10060) { return 'timeout' }
    return 'unreachable'
}

# All at once, and three seconds for all.
function Test-Ports([string] $Address) {
    $tries = [ordered]@{}
    foreach ($port in 53, 88, 135, 389, 445, 464, 636, 3268) {
        $client = New-Object System.Net.Sockets.TcpClient
        $tries["$port/tcp"] = @{ client = $client; task = $client.ConnectAsync($Address, $port) }
    }
    try { [void] [System.Threading.Tasks.Task]::WaitAll([System.Threading.Tasks.Task[]] @($tries.Values | ForEach-Object { $_['task'] }), 3000) } catch { $null = $_ }
    $states = [ordered]@{}
    foreach ($name in @($tries.Keys)) {
        $task = $tries[$name]['task']
        $states[$name] = 'timeout'
        if ($task.IsFaulted) {
            $code = 0
            $inner = $task.Exception.GetBaseException()
            if ($inner -is [System.Net.Sockets.SocketException]) { $code = $inner.ErrorCode }
            $states[$name] = Get-Outcome $code
        } elseif ($task.IsCompleted) { $states[$name] = 'open' }
        $tries[$name]['client'].Close()
    }
    return $states
}

# UDP is open only where something answers.
function Test-Udp([string] $Address, [int] $Port, [byte[]] $Question) {
    $client = New-Object System.Net.Sockets.UdpClient
    try {
        $client.Client.ReceiveTimeout = 1500
        $client.Connect($Address, $Port)
        foreach ($attempt in 1, 2) {
            [void] $client.Send($Question, $Question.Length)
            try {
                $from = New-Object System.Net.IPEndPoint([System.Net.IPAddress]::Any, 0)
                [void] $client.Receive([ref] $from)
                return 'open'
            } catch {
                $inner = $_.Exception.GetBaseException()
                if ($inner -isnot [System.Net.Sockets.SocketException]) { throw }
                if ($inner.ErrorCode -ne 10060 -or $attempt -eq 2) { return (Get-Outcome $inner.ErrorCode) }
            }
        }
    } finally { $client.Close() }
}

# What the partner's controller tells anybody: its clock, and the names of its domain and forest. Nothing where it tells nothing.
function Read-Partner([string] $Address) {
    try {
        Add-Type -AssemblyName System.DirectoryServices.Protocols
        $connection = New-Object System.DirectoryServices.Protocols.LdapConnection((New-Object System.DirectoryServices.Protocols.LdapDirectoryIdentifier($Address, 389)))
        try {
            $connection.AuthType = [System.DirectoryServices.Protocols.AuthType]::Anonymous
            $connection.SessionOptions.ProtocolVersion = 3
            $connection.Timeout = [timespan]::FromSeconds(5)
            $wanted = [string[]] @('currentTime', 'defaultNamingContext', 'rootDomainNamingContext')
            $asked = New-Object System.DirectoryServices.Protocols.SearchRequest('', '(objectClass=*)', [System.DirectoryServices.Protocols.SearchScope]::Base, $wanted)
            $entry = $connection.SendRequest($asked).Entries[0]
            $text = @(foreach ($name in $wanted) { [string] $entry.Attributes[$name].GetValues([string])[0] })
            $theirs = [datetime]::ParseExact($text[0].Substring(0, 14), 'yyyyMMddHHmmss', [cultureinfo]::InvariantCulture)
            return @{
                skew = [long] [math]::Round(($theirs - [datetime]::UtcNow).TotalSeconds)
                domain = (($text[1] -replace '(?i)\ADC=', '') -replace '(?i),DC=', '.').ToLowerInvariant()
                forest = (($text[2] -replace '(?i)\ADC=', '') -replace '(?i),DC=', '.').ToLowerInvariant()
            }
        } finally { $connection.Dispose() }
    } catch { return $null }
}

# ---------------------------------------------------------------------------------------------------------------------------------------
# The operations. Each gives the name of what was done and what it is.

function Get-Standing($Directory, [string] $Domain) {
    $trust = Get-Trust $Directory $Domain
    if ($null -eq $trust) { throw (New-Refusal 'no-trust' "there is no trust with $Domain here") }
    return $trust
}

# Our record of the domain; refused where it is another tenant's or another installation's: there is one trust for all of them.
function Get-OwnRecord($Call, [string] $Beginning, $Fields) {
    $domain = $Call['ask']['domain']
    $record = Get-Record $Call['folder'] ($Beginning + $domain) $Fields
    if ($null -ne $record -and $record['tenant'] -cne $Call['ask']['tenant']) {
        throw (New-Refusal 'not-ours' "what we have with $domain is another tenant's, $($record['tenant'])")
    }
    $other = @(Get-Others $Call $Beginning | Where-Object { $_['domain'] -ceq $domain })
    if ($other.Count -gt 0) { throw (New-Refusal 'not-ours' "what stands with $domain is another installation's, $($other[0]['installation'])") }
    return $record
}

# The domains of whose records other installations have one, each with whose it is.
function Get-Others($Call, [string] $Beginning) {
    foreach ($folder in @([System.IO.Directory]::GetDirectories($State, 'of-*') | Sort-Object)) {
        $other = [System.IO.Path]::GetFileName($folder).Substring(3)
        if ($other -cne $Call['installation']) {
            foreach ($domain in @(Get-RecordNames $folder $Beginning | Sort-Object)) { [ordered]@{ domain = $domain; installation = $other } }
        }
    }
}

function Test-Forwarder($Call, [string] $Domain) { return ($null -ne (Get-Record $Call['folder'] ('forwarder-' + $Domain) $ForwarderFields)) }
function Show-Trust($Call, $Trust, $Record) { return (Add-Mark $Trust $Record (Test-Forwarder $Call $Trust['domain'])) }

function Invoke-Describe($Call) {
    $directory = $Call['directory']
    $partners = @(foreach ($domain in @($Call['partners'].Keys | Sort-Object)) { [ordered]@{ domain = $domain; directions = @($Call['partners'][$domain]) } })
    return [ordered]@{
        description = [ordered]@{
            agent = $Agent; implementation = 'windows'; version = [System.Environment]::OSVersion.Version.ToString(); domain = $directory['domain']
            forest = $directory['forest']; netbios = $directory['netbios']; sid = $directory['sid']; controller = $directory['controller']
            isPdc = $directory['isPdc']; clock = Get-Now; forwarders = ($null -ne (Get-Command Get-DnsServerZone -ErrorAction SilentlyContinue))
            sets = $true; selective = $true; partners = @($partners)
        }
    }
}

function Invoke-List($Call) {
    $trusts = @(Get-Trusts $Call['directory'])
    $told = @(foreach ($trust in $trusts) { Show-Trust $Call $trust (Get-Record $Call['folder'] ('trust-' + $trust['domain']) $RecordFields) })
    $standing = @($trusts | ForEach-Object { $_['domain'] })
    $missing = @(foreach ($domain in @(Get-RecordNames $Call['folder'] 'trust-')) {
        if ($standing -cnotcontains $domain) {
            $record = Get-Record $Call['folder'] ('trust-' + $domain) $RecordFields
            [ordered]@{ domain = $domain; netbios = $record['netbios']; sid = $record['sid']; mark = (Add-Mark @{} $record (Test-Forwarder $Call $domain))['mark'] }
        }
    })
    return [ordered]@{ trusts = [ordered]@{ trusts = @($told); missing = @($missing); orphans = @(Get-Orphans @(Get-Accounts $Call['directory']) $trusts); others = @(Get-Others $Call 'trust-') } }
}

function Invoke-Preflight($Call) {
    $ask = $Call['ask']
    $dns = Get-Hosts $ask['domain'] $null
    # Two are enough to tell a dead server from a dead zone, and leave time for the rest.
    $direct = @(foreach ($server in @(@($ask['dnsServers']) | Select-Object -First 2)) {
        $seen = Get-Hosts $ask['domain'] $server
        [ordered]@{ server = $server; outcome = $seen['outcome']; hosts = $seen['hosts'] }
    })
    $known = [ordered]@{}
    foreach ($one in @($dns['hosts']) + @($direct | ForEach-Object { $_['hosts'] })) {
        if (@($one['addresses']).Count -gt 0 -and -not $known.Contains($one['name'])) { $known[$one['name']] = @($one['addresses'])[0] }
    }
    $name = @(@($ask['controllers']) + @($known.Keys | Sort-Object) | Where-Object { $known.Contains($_) }) | Select-Object -First 1
    $controller = $null; $ports = [ordered]@{}; $partner = $null; $skew = $null
    if ($null -ne $name) {
        $address = $known[$name]
        $controller = [ordered]@{ name = $name; address = $address }
        $ports = Test-Ports $address
        $ports['88/udp'] = Test-Udp $address 88 (Get-KerberosQuestion ($ask['domain'].ToUpperInvariant()) 4242424)
        $ports['389/udp'] = Test-Udp $address 389 (Get-LdapQuestion $ask['domain'])
        # The port that 135 would tell is not asked for.
        $ports['netlogon/tcp'] = 'unknown'
        if ($ports['389/tcp'] -ceq 'open') {
            $seen = Read-Partner $address
            if ($null -ne $seen) { $skew = $seen['skew']; $partner = [ordered]@{ domain = $seen['domain']; forest = $seen['forest']; netbios = $null } }
        }
    }
    return [ordered]@{ preflight = [ordered]@{ dns = $dns; partnerDns = $direct; controller = $controller; ports = $ports; clockSkewSeconds = $skew; partner = $partner } }
}

# Takes what the record tells of. Its state says so first: whoever comes after a death goes on with it.
function Remove-Trust($Call, $Record) {
    $directory = $Call['directory']
    $trust = Get-Trust $directory $Record['domain']
    if ($null -ne $trust -and $trust['sid'] -cne $Record['sid']) {
        throw (New-Refusal 'sid-mismatch' "the trust with $($Record['domain']) stands for another SID than ours did: others made it anew" @{ found = (Show-Trust $Call $trust $Record) })
    }
    $Record['state'] = 'removing'
    Set-Record $Call['folder'] ('trust-' + $Record['domain']) $Record
    if ($null -ne $trust) { (Get-Side $directory $trust['kind']).DeleteLocalSideOfTrustRelationship($Record['domain']) }
    Remove-Account $directory $Record['netbios']
    return ($null -ne $trust)
}

function New-Trust($Call) {
    $ask = $Call['ask']
    $directory = $Call['directory']
    $side = Get-Side $directory $ask['kind']
    $direction = [System.DirectoryServices.ActiveDirectory.TrustDirection] ([int] $Numbers[$ask['direction']])
    $side.CreateLocalSideOfTrustRelationship($ask['domain'], $direction, $ask['secret'])
    # .NET took name and SID from whoever answered under that name (GetTrustedDomainInfo in TrustHelper.cs): what was made is looked at.
    $trust = Get-Standing $directory $ask['domain']
    if ($trust['sid'] -cne $ask['sid'] -or ([string] $trust['netbios']).ToUpperInvariant() -cne $ask['netbios']) {
        throw (New-Refusal 'sid-mismatch' "who answers for $($ask['domain']) has another SID or NetBIOS name: look at DNS, and at the manifest" @{ found = (Show-Trust $Call $trust $null) })
    }
    Set-Flags $directory $trust $ask
}

function Set-Flags($Directory, $Trust, $Ask) {
    $side = Get-Side $Directory $Trust['kind']
    if ($Trust['selective'] -ne $Ask['selective']) { $side.SetSelectiveAuthenticationStatus($Trust['domain'], [bool] $Ask['selective']) }
    if ($Trust['filtersSids'] -ne $Ask['filtersSids']) { $side.SetSidFilteringStatus($Trust['domain'], [bool] $Ask['filtersSids']) }
}

function Invoke-Ensure($Call) {
    $ask = $Call['ask']
    $directory = $Call['directory']
    $record = Get-OwnRecord $Call 'trust-' $RecordFields
    $trusts = @(Get-Trusts $directory)
    $accounts = @(Get-Accounts $directory)
    $decision = Get-Decision $ask $directory $trusts @(Get-Orphans $accounts $trusts) $accounts $record
    if ($decision -ceq 'keep') { return [ordered]@{ ensured = [ordered]@{ made = $false; trust = (Show-Trust $Call (Get-Standing $directory $ask['domain']) $record) } } }
    if ($null -ne $record) { [void] (Remove-Trust $Call $record) }
    # Written first, so that no death leaves a trust of ours without a record.
    $record = [ordered]@{
        tenant = $ask['tenant']; domain = $ask['domain']; netbios = $ask['netbios']; sid = $ask['sid']; direction = $ask['direction']
        kind = $ask['kind']; origin = 'made'; state = 'making'; since = Get-Now
    }
    Set-Record $Call['folder'] ('trust-' + $ask['domain']) $record
    if ($ask['removeOrphan']) { Remove-Account $directory $ask['netbios'] }
    try { New-Trust $Call } catch {
        # Whatever stands now was made by this call, for it was looked before: it goes, also where the wrong partner answered. What cannot
        # be taken away stays in the record as half, and the next call goes on with it.
        $cause = $_
        # But for one: that it stood already, made by others in this moment.
        if ((ConvertTo-Refusal $cause.Exception)['reason'] -ceq 'conflicting-trust') { Remove-Record $Call['folder'] ('trust-' + $ask['domain']); throw $cause }
        $half = Get-Trust $directory $ask['domain']
        if ($null -ne $half) { (Get-Side $directory $half['kind']).DeleteLocalSideOfTrustRelationship($ask['domain']) }
        Remove-Record $Call['folder'] ('trust-' + $ask['domain'])
        throw $cause
    }
    $record['state'] = 'whole'
    Set-Record $Call['folder'] ('trust-' + $ask['domain']) $record
    return [ordered]@{ ensured = [ordered]@{ made = $true; trust = (Show-Trust $Call (Get-Standing $directory $ask['domain']) $record) } }
}

function Invoke-Adopt($Call) {
    $ask = $Call['ask']
    $record = Get-OwnRecord $Call 'trust-' $RecordFields
    $trust = Get-Standing $Call['directory'] $ask['domain']
    if ($trust['sid'] -cne $ask['sid']) { throw (New-Refusal 'sid-mismatch' "the trust with $($ask['domain']) stands for another SID" @{ found = (Show-Trust $Call $trust $record) }) }
    if ($trust['direction'] -cne $ask['direction'] -or $trust['kind'] -cne $ask['kind']) {
        throw (New-Refusal 'conflicting-trust' "the trust with $($ask['domain']) is another than is asked for: people settle it" @{ found = (Show-Trust $Call $trust $record) })
    }
    if ($null -eq $record) {
        $record = [ordered]@{
            tenant = $ask['tenant']; domain = $ask['domain']; netbios = ([string] $trust['netbios']).ToUpperInvariant(); sid = $ask['sid']
            direction = $ask['direction']; kind = $ask['kind']; origin = 'adopted'; state = 'whole'; since = Get-Now
        }
        Set-Record $Call['folder'] ('trust-' + $ask['domain']) $record
    } elseif ($record['state'] -cne 'whole') { throw (New-Refusal 'unfinished' "the trust with $($ask['domain']) is ours and half: ensure or remove it") }
    return [ordered]@{ adopted = [ordered]@{ trust = (Show-Trust $Call $trust $record) } }
}

function Invoke-Set($Call) {
    $ask = $Call['ask']
    $record = Get-OwnRecord $Call 'trust-' $RecordFields
    if ($null -eq $record) { throw (New-Refusal 'not-ours' "the trust with $($ask['domain']) has no record of ours: adopt it first") }
    Set-Flags $Call['directory'] (Get-Standing $Call['directory'] $ask['domain']) $ask
    return [ordered]@{ set = [ordered]@{ trust = (Show-Trust $Call (Get-Standing $Call['directory'] $ask['domain']) $record) } }
}

function Invoke-Verify($Call) {
    $domain = $Call['ask']['domain']
    $trust = Get-Standing $Call['directory'] $domain
    if (@('outbound', 'both') -cnotcontains $trust['direction']) { return [ordered]@{ verified = [ordered]@{ channel = 'not-applicable'; code = 0; controller = $null } } }
    $seen = Invoke-Channel 10 $domain
    # .NET makes a forest's trust without its names; Netlogon fetches them over the channel, which is well from now on. Only for one of ours.
    if ($seen['code'] -eq 0 -and $trust['kind'] -ceq 'forest' -and $null -ne (Get-Record $Call['folder'] ('trust-' + $domain) $RecordFields)) {
        [void] [Vertskommune.Netapi]::FetchNames($domain)
    }
    return [ordered]@{ verified = [ordered]@{ channel = (Get-Channel $seen['code']); code = $seen['code']; controller = $seen['controller'] } }
}

# A ticket as SYSTEM, whose logon session is 0x3e7 on every Windows: the account of a key's logon has no password to get one with.
function Invoke-Probe($Call) {
    $ask = $Call['ask']
    $trust = Get-Standing $Call['directory'] $ask['domain']
    if (@('inbound', 'both') -cnotcontains $trust['direction']) { return [ordered]@{ probed = [ordered]@{ ticket = 'not-applicable'; message = '' } } }
    if ($ask['controller'].Split('.', 2)[1] -cne $ask['domain']) { throw (New-Refusal 'malformed' 'the request cannot be read: probe.controller is a controller of probe.domain') }
    $klist = [System.IO.Path]::Combine([System.Environment]::SystemDirectory, 'klist.exe')
    $service = 'ldap/' + $ask['controller']
    $lines = & $klist '-li' '0x3e7' 'get' $service
    $seen = Read-Ticket (@($lines) -join "`n") $service
    return [ordered]@{ probed = [ordered]@{ ticket = $seen['ticket']; message = $seen['message'] } }
}

function Invoke-Heal($Call) {
    $domain = $Call['ask']['domain']
    $trust = Get-Standing $Call['directory'] $domain
    if (@('outbound', 'both') -cnotcontains $trust['direction']) { return [ordered]@{ healed = [ordered]@{ code = 0 } } }
    return [ordered]@{ healed = [ordered]@{ code = (Invoke-Channel 5 $domain)['code'] } }
}

# Conditional forwarders: Get-, Add-, Set- and Remove- of the module DnsServer. They replicate with the forest: it is the forest that trusts.
function Get-Zone([string] $Domain) {
    foreach ($zone in @(Get-DnsServerZone)) { if ([string] $zone.ZoneName -eq $Domain) { return $zone } }
    return $null
}

function Invoke-Forward($Call) {
    $ask = $Call['ask']
    if ($null -eq (Get-Command Get-DnsServerZone -ErrorAction SilentlyContinue)) {
        throw (New-Refusal 'unsupported' 'the DNS server of Windows is not on this controller: forward the domain in the DNS that it uses')
    }
    if (@($ask['dnsServers']).Count -eq 0) { throw (New-Refusal 'malformed' 'the request cannot be read: forward.dnsServers has one address or more') }
    $record = Get-OwnRecord $Call 'forwarder-' $ForwarderFields
    $zone = Get-Zone $ask['domain']
    if ($null -ne $zone -and $null -eq $record) {
        # Somebody forwards it already, or has the zone itself: that is theirs, and the preflight tells whether it answers.
        return [ordered]@{ forwarder = [ordered]@{ made = $false } }
    }
    $servers = [System.Net.IPAddress[]] @($ask['dnsServers'])
    if ($null -eq $record) { Set-Record $Call['folder'] ('forwarder-' + $ask['domain']) ([ordered]@{ tenant = $ask['tenant']; domain = $ask['domain']; since = Get-Now }) }
    if ($null -eq $zone) { Add-DnsServerConditionalForwarderZone -Name $ask['domain'] -MasterServers $servers -ReplicationScope 'Forest' }
    elseif ([string] $zone.ZoneType -ne 'Forwarder') { throw (New-Refusal 'not-ours' "the zone $($ask['domain']) is no forwarder any more: others made it") }
    else { Set-DnsServerConditionalForwarderZone -Name $ask['domain'] -MasterServers $servers }
    return [ordered]@{ forwarder = [ordered]@{ made = $true } }
}

function Remove-Forwarder($Call) {
    $domain = $Call['ask']['domain']
    if ($null -eq (Get-OwnRecord $Call 'forwarder-' $ForwarderFields)) { return }
    $zone = Get-Zone $domain
    if ($null -ne $zone -and [string] $zone.ZoneType -eq 'Forwarder') { Remove-DnsServerZone -Name $domain -Force }
    Remove-Record $Call['folder'] ('forwarder-' + $domain)
}

function Invoke-Remove($Call) {
    $ask = $Call['ask']
    $record = Get-OwnRecord $Call 'trust-' $RecordFields
    $was = $false
    if ($null -eq $record) {
        $trust = Get-Trust $Call['directory'] $ask['domain']
        if ($null -ne $trust) {
            throw (New-Refusal 'not-ours' "the trust with $($ask['domain']) has no record of ours: we did not make it, and do not take it away" @{ found = (Show-Trust $Call $trust $null) })
        }
    } else {
        # Of a trust that people have removed only what is ours is left, whatever it stood for.
        if ($record['sid'] -cne $ask['sid'] -and $null -ne (Get-Trust $Call['directory'] $ask['domain'])) {
            throw (New-Refusal 'sid-mismatch' "our trust with $($ask['domain']) stands for another SID")
        }
        $was = Remove-Trust $Call $record
    }
    # The forwarder after the trust, which needs it, and the record of the trust last.
    Remove-Forwarder $Call
    if ($null -ne $record) { Remove-Record $Call['folder'] ('trust-' + $ask['domain']) }
    return [ordered]@{ removed = [ordered]@{ was = $was } }
}

# Who writes, for all controllers of this installation.
function Invoke-Claim($Call) {
    $ask = $Call['ask']
    $there = Get-Record $Call['folder'] 'claim' $ClaimFields
    if ($null -ne $there -and $there['holder'] -cne $ask['holder'] -and (ConvertTo-Moment $there['expires']) -gt [datetime]::UtcNow -and -not $ask['takeOver']) {
        throw (New-Refusal 'claimed' "$($there['holder']) writes here until $($there['expires']): stop it, or take over explicitly" @{ claimed = $there })
    }
    $wanted = [ordered]@{ holder = $ask['holder']; expires = $ask['expires'] }
    Set-Record $Call['folder'] 'claim' $wanted
    return [ordered]@{ claimed = $wanted }
}

# ---------------------------------------------------------------------------------------------------------------------------------------
# One call.

# All of standard input, and never more than one byte too much of it.
function Read-Limited($Stream) {
    $buffer = New-Object byte[] ($LongestRequest + 1)
    $length = 0
    while ($length -lt $buffer.Length) {
        $read = $Stream.Read($buffer, $length, $buffer.Length - $length)
        if ($read -le 0) { break }
        $length += $read
    }
    $raw = New-Object byte[] $length
    [System.Array]::Copy($buffer, $raw, $length)
    return , $raw
}

function Invoke-Call($Stream) {
    if ([string] $env:SSH_ORIGINAL_COMMAND -cne $Command) { throw (New-Refusal 'command' "this key is let in for ``$Command`` alone") }
    if ([string] $PSVersionTable['PSEdition'] -cne 'Desktop') { throw (New-Refusal 'host' 'this is not Windows PowerShell 5.1: the forced command names powershell.exe') }
    $call = Read-Request (Read-Limited $Stream)
    $Watch['until'] = [datetime]::UtcNow.AddSeconds($Waiting + $Working)
    $call['partners'] = Read-Allowed $call['installation']
    Assert-Allowed $call['partners'] $call['ask']
    $call['folder'] = Open-Records $call['installation']
    # A claim must not wait for a slow look at a partner.
    $name = 'directory'
    if ($call['operation'] -ceq 'claim') { $name = 'claim' }
    $lock = Enter-Lock $name
    try {
        # What waited for another call has all of its own time.
        $Watch['until'] = [datetime]::UtcNow.AddSeconds($Working)
        if ($call['operation'] -ceq 'claim') { return (Invoke-Claim $call) }
        $call['directory'] = Open-Directory
        if ($call['operation'] -cne 'describe' -and -not $call['directory']['isPdc']) {
            throw (New-Refusal 'not-pdc' 'this controller is not the PDC emulator of its domain: run the agent on the one that is (netdom query fsmo)')
        }
        switch -CaseSensitive ($call['operation']) {
            'describe' { return (Invoke-Describe $call) }
            'list' { return (Invoke-List $call) }
            'preflight' { return (Invoke-Preflight $call) }
            'ensure' { return (Invoke-Ensure $call) }
            'adopt' { return (Invoke-Adopt $call) }
            'set' { return (Invoke-Set $call) }
            'verify' { return (Invoke-Verify $call) }
            'probe' { return (Invoke-Probe $call) }
            'heal' { return (Invoke-Heal $call) }
            'remove' { return (Invoke-Remove $call) }
            'forward' { return (Invoke-Forward $call) }
        }
    } finally { $lock.Dispose() }
}

function New-Answer([string] $Outcome, $What) { return (ConvertTo-Answer ([ordered]@{ protocol = $Protocol; outcome = [ordered]@{ $Outcome = $What } })) }

# The worker's life: in a runspace of its own, so that a call which hangs in a library can be left.
if ($null -ne $Watch) {
    try { $Watch['answer'] = New-Answer 'done' (Invoke-Call ([System.Console]::OpenStandardInput())) }
    catch { $Watch['answer'] = New-Answer 'refused' (ConvertTo-Refusal $_.Exception $_.InvocationInfo.ScriptLineNumber) }
    return
}

# The one who watches. When the time is over it ends the process with all that hangs in it: the records tell the next call where to go on.
$shared = [hashtable]::Synchronized(@{ until = [datetime]::UtcNow.AddSeconds($Reading); answer = $null })
$worker = [System.Management.Automation.PowerShell]::Create()
[void] $worker.AddCommand($PSCommandPath).AddParameter('Watch', $shared)
$running = $worker.BeginInvoke()
while (-not $running.IsCompleted -and [datetime]::UtcNow -lt $shared['until']) { [void] $running.AsyncWaitHandle.WaitOne(50) }
$text = $shared['answer']
if ($null -eq $text) {
    if ($running.IsCompleted) { $text = New-Answer 'refused' ([ordered]@{ reason = 'host'; message = 'the agent''s worker ended without an answer: look at this controller''s event log' }) }
    else { $text = New-Answer 'refused' ([ordered]@{ reason = 'timed-out'; message = "the call took longer than $Working seconds: ask again, it goes on where it ended" }) }
}
$bytes = [System.Text.Encoding]::ASCII.GetBytes($text + "`n")
$out = [System.Console]::OpenStandardOutput()
$out.Write($bytes, 0, $bytes.Length)
$out.Flush()
[System.Environment]::Exit(0)
